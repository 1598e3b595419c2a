# Regions across photos: FAISS clusters and an index, then masks and instances at image resolution.


rule cluster:
    # Of one dataset; or of a collection, whose datasets are clustered and indexed together, by name only.
    input:
        regions=lambda wildcards: [
            paths.regions("heap", name) for name in JOBS.clustered(wildcards.clustered)
        ],
        maps=lambda wildcards: [
            paths.maps("heap", name) for name in JOBS.clustered(wildcards.clustered)
        ],
    output:
        clusters=paths.clusters("{clustered}"),
        index=paths.index("{clustered}"),
    threads: 8
    resources:
        gpu=1,
        mem_mb=grows(8000),
        runtime=240,
    shell:
        RUN


rule method_masks:
    input:
        maps=paths.maps("{method}", "{dataset}"),
    output:
        receipt=paths.method_masks("{method}", "{dataset}"),
    threads: 8
    resources:
        mem_mb=grows(4000),
        runtime=120,
    shell:
        RUN


rule segment:
    input:
        maps=paths.maps("heap", "{dataset}"),
        clusters=paths.clusters("{dataset}"),
        manifest=paths.manifest("{dataset}"),
    output:
        masks=paths.masks("{dataset}"),
        instances=paths.instances("{dataset}"),
    threads: 8
    resources:
        mem_mb=grows(8000),
        runtime=120,
    shell:
        RUN
