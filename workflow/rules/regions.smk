# Regions across photos: FAISS clusters and an index, then masks and instances at image resolution.


rule cluster:
    input:
        settings=frozen("cluster"),
        regions=paths.regions("heap", "{dataset}"),
        maps=paths.maps("heap", "{dataset}"),
    output:
        clusters=paths.clusters("{dataset}"),
        index=paths.index("{dataset}"),
    log:
        paths.log("cluster", "{dataset}"),
    benchmark:
        paths.bench("cluster", "{dataset}")
    conda:
        "../../envs/heap.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=grows(8000),
        runtime=120,
    shell:
        "python -m heap cluster --settings {input.settings:q} --regions {input.regions:q} --maps {input.maps:q}"
        " --out {output.clusters:q} --out-index {output.index:q} 2>&1 | tee {log:q}"


rule method_masks:
    input:
        settings=frozen("segment"),
        maps=paths.maps("{method}", "{dataset}"),
    output:
        receipt=paths.method_masks("{method}", "{dataset}"),
    log:
        paths.log("method_masks", "{method}.{dataset}"),
    benchmark:
        paths.bench("method_masks", "{method}.{dataset}")
    conda:
        "../../envs/heap.yaml"
    threads: 8
    resources:
        mem_mb=grows(4000),
        runtime=120,
    shell:
        "python -m heap method-masks --settings {input.settings:q} --maps {input.maps:q}"
        " --out {output.receipt:q} 2>&1 | tee {log:q}"


rule segment:
    input:
        settings=frozen("segment"),
        maps=paths.maps("heap", "{dataset}"),
        clusters=paths.clusters("{dataset}"),
        manifest=paths.manifest("{dataset}"),
    output:
        masks=paths.masks("{dataset}"),
        instances=paths.instances("{dataset}"),
    log:
        paths.log("segment", "{dataset}"),
    benchmark:
        paths.bench("segment", "{dataset}")
    conda:
        "../../envs/heap.yaml"
    threads: 8
    resources:
        mem_mb=grows(8000),
        runtime=120,
    shell:
        "python -m heap segment --settings {input.settings:q} --maps {input.maps:q} --clusters {input.clusters:q}"
        " --manifest {input.manifest:q} --out {output.masks:q} --out-table {output.instances:q} 2>&1 | tee {log:q}"
