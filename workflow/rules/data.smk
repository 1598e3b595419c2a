# Frozen settings, files, weights, manifests: all that later stages read.


rule freeze:
    # One file a job, so that an edit of the configuration re-runs what depends on it and nothing else,
    # and a job that waits in a queue keeps the values it was submitted with.
    output:
        paths.settings("{stage}", "{name}"),
    log:
        paths.log("freeze", "{stage}.{name}"),
    localrule: True
    conda:
        "../../envs/heap.yaml"
    threads: 1
    params:
        text=lambda wildcards: settings.frozen_text(
            CONFIG, wildcards.stage, wildcards.name
        ),
    shell:
        "printf '%s' {params.text:q} > {output:q} 2> {log:q}"


rule fetch:
    # Local: compute nodes often cannot reach the internet.
    input:
        settings=frozen("fetch"),
    output:
        receipt=paths.fetch_receipt("{files}"),
    log:
        paths.log("fetch", "{files}"),
    benchmark:
        paths.bench("fetch", "{files}")
    localrule: True
    conda:
        "../../envs/heap.yaml"
    threads: 1
    shell:
        "python -m heap fetch --settings {input.settings:q} --out {output.receipt:q} 2>&1 | tee {log:q}"


rule weights:
    input:
        settings=frozen("weights"),
    output:
        receipt=paths.weights("{encoder}"),
    log:
        paths.log("weights", "{encoder}"),
    benchmark:
        paths.bench("weights", "{encoder}")
    localrule: True
    conda:
        "../../envs/heap.yaml"
    threads: 1
    shell:
        "python -m heap weights --settings {input.settings:q} --out {output.receipt:q} 2>&1 | tee {log:q}"


rule manifest:
    input:
        settings=frozen("manifest"),
        files=lambda wildcards: paths.fetch_receipt(CONFIG.files_of(wildcards.dataset)),
    output:
        manifest=paths.manifest("{dataset}"),
    log:
        paths.log("manifest", "{dataset}"),
    benchmark:
        paths.bench("manifest", "{dataset}")
    conda:
        "../../envs/heap.yaml"
    threads: 4
    resources:
        mem_mb=grows(2000),
        runtime=60,
    shell:
        "python -m heap manifest --settings {input.settings:q} --files {input.files:q}"
        " --out {output.manifest:q} 2>&1 | tee {log:q}"
