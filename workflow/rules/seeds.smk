# How much the figures hang on the seed of the training: every seed's head over the datasets, mean and deviation.
# Asked for by name only (results/{benchmark}_seeds.csv): it groups as often as there are seeds.


rule group_seed:
    input:
        settings=frozen("group"),
        features=paths.features("{dataset}"),
        head=lambda wildcards: paths.head(model_of(wildcards.dataset)),
    output:
        regions=temp(paths.seed_regions("{seed}", "{dataset}")),
        maps=paths.seed_maps("{seed}", "{dataset}"),
    log:
        paths.log("group_seed", "{seed}.{dataset}"),
    benchmark:
        paths.bench("group_seed", "{seed}.{dataset}")
    conda:
        "../../envs/heap.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=grows(8000),
        runtime=120,
    shell:
        "python -m heap group --settings {input.settings:q} --features {input.features:q} --head {input.head:q}"
        " --seed {wildcards.seed} --out-regions {output.regions:q} --out-maps {output.maps:q} 2>&1 | tee {log:q}"


rule seeds:
    input:
        settings=frozen("evaluate"),
        manifests=lambda wildcards: map(
            paths.manifest, datasets_of(wildcards.benchmark)
        ),
        maps=lambda wildcards: [
            paths.seed_maps(seed, dataset)
            for seed in seeds_of(wildcards.benchmark)
            for dataset in datasets_of(wildcards.benchmark)
        ],
        features=lambda wildcards: map(
            paths.features, datasets_of(wildcards.benchmark, "retrieval")
        ),
    output:
        table=paths.seeds("{benchmark}"),
        details=paths.seeds_details("{benchmark}"),
    log:
        paths.log("seeds", "{benchmark}"),
    benchmark:
        paths.bench("seeds", "{benchmark}")
    conda:
        "../../envs/heap.yaml"
    threads: 8
    resources:
        mem_mb=grows(8000),
        runtime=480,
    params:
        manifests=lambda wildcards, input: [
            f"--manifest={path}" for path in input.manifests
        ],
        maps=lambda wildcards, input: [f"--maps={path}" for path in input.maps],
        features=lambda wildcards, input: [
            f"--features={path}" for path in input.features
        ],
    shell:
        "python -m heap seeds --settings {input.settings:q} {params.manifests:q} {params.maps:q} {params.features:q}"
        " --out {output.table:q} 2>&1 | tee {log:q}"
