# The frozen encoder over every photo, once. The Zarr store is no output of Snakemake's (it would delete it when a job
# fails, and on every rerun); the receipt next to it is.


rule extract:
    input:
        manifest=paths.manifest("{dataset}"),
        weights=lambda wildcards: paths.weights(CONFIG.encoder_of(wildcards.dataset)),
    output:
        part=paths.features_part("{dataset}", "{scatteritem}"),
    threads: 16
    resources:
        gpu=1,
        mem_mb=grows(8000),
        runtime=720,
    shell:
        RUN


rule gather:
    input:
        parts=gather.extract(paths.features_part("{{dataset}}", "{scatteritem}")),
        manifest=paths.manifest("{dataset}"),
    output:
        receipt=paths.features("{dataset}"),
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=30,
    shell:
        RUN
