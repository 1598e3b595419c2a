# The frozen encoder over every photo, once. The Zarr store is no output of Snakemake's (it would delete it when a job
# fails, and on every rerun); the receipt beside it is.


rule extract:
    input:
        settings=frozen("extract"),
        manifest=paths.manifest("{dataset}"),
        weights=lambda wildcards: paths.weights(CONFIG.encoder_of(wildcards.dataset)),
        means=means("extract"),
    output:
        part=paths.features_part("{dataset}", "{scatteritem}"),
    log:
        paths.log("extract", "{dataset}.{scatteritem}"),
    benchmark:
        paths.bench("extract", "{dataset}.{scatteritem}")
    conda:
        "../../envs/heap.yaml"
    threads: 16
    resources:
        gpu=1,
        mem_mb=grows(8000),
        runtime=720,
    params:
        folder=lambda wildcards: paths.beside(paths.features(wildcards.dataset)),
    shell:
        "python -m heap extract --settings {input.settings:q} --manifest {input.manifest:q} --weights {input.weights:q}"
        " --means {input.means:q} --folder {params.folder:q} --part {wildcards.scatteritem:q} --out {output.part:q} 2>&1 | tee {log:q}"


rule gather:
    input:
        parts=gather.extract(paths.features_part("{{dataset}}", "{scatteritem}")),
        manifest=paths.manifest("{dataset}"),
    output:
        receipt=paths.features("{dataset}"),
    log:
        paths.log("gather", "{dataset}"),
    benchmark:
        paths.bench("gather", "{dataset}")
    conda:
        "../../envs/heap.yaml"
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=30,
    params:
        folder=lambda wildcards: paths.beside(paths.features(wildcards.dataset)),
    shell:
        "python -m heap gather {input.parts:q} --manifest {input.manifest:q} --folder {params.folder:q}"
        " --out {output.receipt:q} 2>&1 | tee {log:q}"
