# Metric tables and reports, one of each a benchmark.


rule evaluate:
    input:
        settings=frozen("evaluate"),
        manifests=lambda wildcards: map(
            paths.manifest, datasets_of(wildcards.benchmark)
        ),
        maps=lambda wildcards: maps_of(wildcards.benchmark),
        features=lambda wildcards: map(paths.features, datasets_of(wildcards.benchmark)),
        masks=lambda wildcards: map(
            paths.masks, datasets_of(wildcards.benchmark, "instances", "semantic")
        ),
    output:
        metrics=report(
            paths.metrics("{benchmark}"),
            caption="../report/metrics.rst",
            category="Figures",
            labels={"benchmark": "{benchmark}", "shows": "figures with intervals"},
        ),
        details=paths.metrics_details("{benchmark}"),
        photos=paths.metrics_photos("{benchmark}"),
    log:
        paths.log("evaluate", "{benchmark}"),
    benchmark:
        paths.bench("evaluate", "{benchmark}")
    conda:
        "../../envs/heap.yaml"
    threads: 8
    resources:
        mem_mb=grows(8000),
        runtime=240,
    params:
        manifests=lambda wildcards, input: [
            f"--manifest={path}" for path in input.manifests
        ],
        maps=lambda wildcards, input: [f"--maps={path}" for path in input.maps],
        features=lambda wildcards, input: [
            f"--features={path}" for path in input.features
        ],
        masks=lambda wildcards, input: [f"--masks={path}" for path in input.masks],
    shell:
        "python -m heap evaluate --settings {input.settings:q} {params.manifests:q} {params.maps:q} {params.features:q}"
        " {params.masks:q} --out {output.metrics:q} --out-photos {output.photos:q} 2>&1 | tee {log:q}"


rule compare:
    input:
        metrics=paths.metrics("{benchmark}"),
        details=paths.metrics_details("{benchmark}"),
    output:
        table=report(
            paths.comparison("{benchmark}"),
            caption="../report/table.rst",
            category="Figures",
            labels={"benchmark": "{benchmark}", "shows": "comparison of methods"},
        ),
    log:
        paths.log("compare", "{benchmark}"),
    conda:
        "../../envs/heap.yaml"
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=10,
    shell:
        "python -m heap compare {input.metrics:q} --out {output.table:q} 2>&1 | tee {log:q}"


rule report:
    input:
        settings=frozen("report"),
        metrics=paths.metrics("{benchmark}"),
        manifests=lambda wildcards: map(
            paths.manifest, datasets_of(wildcards.benchmark)
        ),
        maps=lambda wildcards: [
            paths.maps("heap", name) for name in datasets_of(wildcards.benchmark)
        ],
        clusters=lambda wildcards: map(paths.clusters, datasets_of(wildcards.benchmark)),
        masks=lambda wildcards: map(paths.masks, datasets_of(wildcards.benchmark)),
        histories=lambda wildcards: [
            paths.history(name)
            for name in dict.fromkeys(map(model_of, datasets_of(wildcards.benchmark)))
        ],
    output:
        page=report(
            paths.report("{benchmark}"),
            caption="../report/page.rst",
            category="Figures",
            labels={"benchmark": "{benchmark}", "shows": "page with pictures"},
        ),
    log:
        paths.log("report", "{benchmark}"),
    benchmark:
        paths.bench("report", "{benchmark}")
    conda:
        "../../envs/heap.yaml"
    threads: 8
    resources:
        mem_mb=grows(8000),
        runtime=120,
    params:
        manifests=lambda wildcards, input: [
            f"--manifest={path}" for path in input.manifests
        ],
        maps=lambda wildcards, input: [f"--maps={path}" for path in input.maps],
        clusters=lambda wildcards, input: [
            f"--clusters={path}" for path in input.clusters
        ],
        masks=lambda wildcards, input: [f"--masks={path}" for path in input.masks],
        histories=lambda wildcards, input: [
            f"--history={path}" for path in input.histories
        ],
    shell:
        "python -m heap report --settings {input.settings:q} --metrics {input.metrics:q} {params.manifests:q}"
        " {params.maps:q} {params.clusters:q} {params.masks:q} {params.histories:q}"
        " --out {output.page:q} 2>&1 | tee {log:q}"


# The same page of any dataset that no benchmark has the name of, with ground truth or without. Asked for by name only.
rule report_photos:
    input:
        settings=paths.settings("report", "{dataset}"),
        manifest=paths.manifest("{dataset}"),
        maps=paths.maps("heap", "{dataset}"),
        clusters=paths.clusters("{dataset}"),
        masks=paths.masks("{dataset}"),
        history=lambda wildcards: paths.history(model_of(wildcards.dataset)),
    output:
        page=paths.report("{dataset}"),
    log:
        paths.log("report", "{dataset}"),
    benchmark:
        paths.bench("report", "{dataset}")
    wildcard_constraints:
        dataset="|".join(sorted(set(CONFIG.datasets) - set(CONFIG.benchmarks)))
        or "(?!)",
    conda:
        "../../envs/heap.yaml"
    threads: 8
    resources:
        mem_mb=grows(8000),
        runtime=120,
    shell:
        "python -m heap report --settings {input.settings:q} --manifest {input.manifest:q} --maps {input.maps:q}"
        " --clusters {input.clusters:q} --masks {input.masks:q} --history {input.history:q}"
        " --out {output.page:q} 2>&1 | tee {log:q}"


# How much the figures hang on the seed of the training: mean and deviation over every seed's head. Asked for by name only
# (results/{benchmark}_seeds.csv): it groups as often as there are seeds.
rule seeds:
    input:
        settings=frozen("evaluate"),
        manifests=lambda wildcards: map(
            paths.manifest, datasets_of(wildcards.benchmark)
        ),
        maps=lambda wildcards: seed_maps(wildcards.benchmark),
        heads=lambda wildcards: [
            paths.head(name)
            for name in dict.fromkeys(map(model_of, datasets_of(wildcards.benchmark)))
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
        heads=lambda wildcards, input: [f"--head={path}" for path in input.heads],
        manifests=lambda wildcards, input: [
            f"--manifest={path}" for path in input.manifests
        ],
        maps=lambda wildcards, input: [f"--maps={path}" for path in input.maps],
        features=lambda wildcards, input: [
            f"--features={path}" for path in input.features
        ],
    shell:
        "python -m heap seeds --settings {input.settings:q} {params.manifests:q} {params.maps:q} {params.features:q}"
        " {params.heads:q} --out {output.table:q} 2>&1 | tee {log:q}"


# The same for variants of the training (losses off, fewer tokens): results/ablation.csv, by name only.
if CONFIG.ablation:

    rule ablation:
        input:
            settings=paths.settings("ablation", CONFIG.ablation.benchmark),
            manifests=map(paths.manifest, datasets_of(CONFIG.ablation.benchmark)),
            maps=ablation_maps(),
            features=[
                paths.features(dataset)
                for dataset in datasets_of(CONFIG.ablation.benchmark, "retrieval")
            ],
        output:
            table=paths.ablation(),
            details=paths.ablation_details(),
        log:
            paths.log("ablation", CONFIG.ablation.benchmark),
        benchmark:
            paths.bench("ablation", CONFIG.ablation.benchmark)
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
            "python -m heap ablation --settings {input.settings:q} {params.manifests:q} {params.maps:q}"
            " {params.features:q} --out {output.table:q} 2>&1 | tee {log:q}"
