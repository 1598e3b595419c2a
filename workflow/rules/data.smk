# Files, weights, manifests: all that later stages read.


rule fetch:
    # Local: compute nodes often cannot reach the internet.
    output:
        receipt=paths.fetch_receipt("{files}"),
    localrule: True
    threads: 1
    shell:
        RUN


rule weights:
    output:
        receipt=paths.weights("{encoder}"),
    localrule: True
    threads: 1
    shell:
        RUN


rule manifest:
    input:
        files=lambda wildcards: paths.fetch_receipt(CONFIG.files_of(wildcards.dataset)),
    output:
        manifest=paths.manifest("{dataset}"),
    threads: 4
    resources:
        mem_mb=grows(2000),
        runtime=60,
    shell:
        RUN
