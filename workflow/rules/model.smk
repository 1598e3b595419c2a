# A trained model as one folder that can be moved: `heap.load`, `heap predict`. Nothing of the benchmarks asks for it.


rule model:
    input:
        settings=frozen("model"),
        head=paths.head("{model}"),
        # Of the photos that the head was trained on, where these go through this head and not through another.
        clusters=lambda wildcards: [
            paths.clusters(dataset)
            for dataset in [CONFIG.models[wildcards.model].train_on]
            if model_of(dataset) == wildcards.model
        ],
    output:
        receipt=paths.model("{model}"),
    log:
        paths.log("model", "{model}"),
    benchmark:
        paths.bench("model", "{model}")
    conda:
        "../../envs/heap.yaml"
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=30,
    params:
        clusters=lambda wildcards, input: [
            f"--clusters={path}" for path in input.clusters
        ],
    shell:
        "python -m heap model --settings {input.settings:q} --head {input.head:q} {params.clusters:q}"
        " --out {output.receipt:q} 2>&1 | tee {log:q}"
