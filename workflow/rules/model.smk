# A trained model as one folder that can be moved: `heap.load`, `heap predict`. Nothing of the benchmarks asks for it.


rule model:
    input:
        head=paths.head("{model}"),
        # Of the photos that the head was trained on, where these go through this head and not through another.
        clusters=lambda wildcards: [
            paths.clusters(dataset)
            for dataset in [CONFIG.models[wildcards.model].train_on]
            if JOBS.model_of(dataset) == wildcards.model
        ],
    output:
        receipt=paths.model("{model}"),
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=30,
    shell:
        RUN
