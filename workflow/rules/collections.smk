# Regions of several datasets, clustered and indexed together. Asked for by name only: results/clusters/{collection}.parquet.


rule cluster_collection:
    input:
        settings=paths.settings("cluster", "{collection}"),
        regions=lambda wildcards: [
            paths.regions("heap", dataset)
            for dataset in CONFIG.collections[wildcards.collection].datasets
        ],
        maps=lambda wildcards: [
            paths.maps("heap", dataset)
            for dataset in CONFIG.collections[wildcards.collection].datasets
        ],
    output:
        clusters=paths.clusters("{collection}"),
        index=paths.index("{collection}"),
    log:
        paths.log("cluster", "{collection}"),
    benchmark:
        paths.bench("cluster", "{collection}")
    conda:
        "../../envs/heap.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=grows(16000),
        runtime=240,
    params:
        regions=lambda wildcards, input: [f"--regions={path}" for path in input.regions],
        maps=lambda wildcards, input: [f"--maps={path}" for path in input.maps],
    shell:
        "python -m heap cluster --settings {input.settings:q} {params.regions:q} {params.maps:q}"
        " --out {output.clusters:q} --out-index {output.index:q} 2>&1 | tee {log:q}"
