# Metric tables and reports, one of each a benchmark.


rule evaluate:
    input:
        manifests=over(paths.manifest),
        maps=lambda wildcards: JOBS.maps(wildcards.benchmark),
        features=over(paths.features),
        masks=over(paths.masks, "instances", "semantic"),
    output:
        metrics=report(
            paths.metrics("{benchmark}"),
            caption="../report/metrics.rst",
            category="Figures",
            labels={"benchmark": "{benchmark}", "shows": "figures with intervals"},
        ),
        details=paths.metrics_details("{benchmark}"),
        photos=paths.metrics_photos("{benchmark}"),
    threads: 8
    resources:
        mem_mb=grows(8000),
        runtime=240,
    shell:
        RUN


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
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=10,
    shell:
        "python -m heap compare {input.metrics:q} --out {output.table:q} 2>&1 | tee {log:q}"


rule report:
    # Of a benchmark; or of any dataset, with ground truth or without, by name only.
    input:
        metrics=lambda wildcards: (
            [paths.metrics(wildcards.page)]
            if wildcards.page in CONFIG.benchmarks
            else []
        ),
        manifests=over(paths.manifest),
        maps=over(heap_maps),
        clusters=over(paths.clusters),
        masks=over(paths.masks),
        histories=lambda wildcards: map(paths.history, JOBS.models_of(wildcards.page)),
    output:
        page=report(
            paths.report("{page}"),
            caption="../report/page.rst",
            category="Figures",
            labels={"benchmark": "{page}", "shows": "page with pictures"},
        ),
    threads: 8
    resources:
        mem_mb=grows(8000),
        runtime=120,
    shell:
        RUN


# How much the figures hang on the seed of the training: mean and deviation over every seed's head. Asked for by name only
# (results/{benchmark}_seeds.csv): it groups as often as there are seeds.
rule seeds:
    input:
        manifests=over(paths.manifest),
        maps=lambda wildcards: JOBS.seed_maps(wildcards.benchmark),
        heads=lambda wildcards: map(paths.head, JOBS.models_of(wildcards.benchmark)),
        features=over(paths.features, "retrieval"),
    output:
        table=paths.seeds("{benchmark}"),
        details=paths.seeds_details("{benchmark}"),
    threads: 8
    resources:
        mem_mb=grows(8000),
        runtime=480,
    shell:
        RUN


# The same for variants of the training (losses off, fewer tokens): results/ablation.csv, by name only.
if CONFIG.ablation:

    rule ablation:
        input:
            manifests=map(paths.manifest, JOBS.datasets_of(CONFIG.ablation.benchmark)),
            maps=JOBS.ablation_maps(),
            features=[
                paths.features(dataset)
                for dataset in JOBS.datasets_of(CONFIG.ablation.benchmark, "retrieval")
            ],
        output:
            table=paths.ablation(),
            details=paths.ablation_details(),
        threads: 8
        resources:
            mem_mb=grows(8000),
            runtime=480,
        shell:
            RUN
