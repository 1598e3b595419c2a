# The HEAP head: each seed trained on cached features, one chosen, then run over datasets. Baselines make maps without it.


rule train:
    # Models, and the variants of the ablation, which are models with overrides. Only `select` writes what people use, so
    # a training that fails leaves it as it was.
    input:
        features=lambda wildcards: paths.features(
            CONFIG.heads()[wildcards.head].train_on
        ),
        manifest=lambda wildcards: paths.manifest(
            CONFIG.heads()[wildcards.head].train_on
        ),
    output:
        # `update`: put back by Snakemake when a forced training fails.
        head=update(paths.seed_head("{head}", "{seed}")),
        history=update(paths.seed_history("{head}", "{seed}")),
        survey=update(paths.seed_survey("{head}", "{seed}")),
    threads: 4
    resources:
        gpu=1,
        # The features that stay in memory, and as much again as a batch and its gradients take.
        mem_mb=grows(int(1000 * CONFIG.train.resident_gb) + 4000),
        runtime=240,
    shell:
        RUN


rule select:
    input:
        heads=lambda wildcards: JOBS.of_seeds(paths.seed_head, wildcards.model),
        surveys=lambda wildcards: JOBS.of_seeds(paths.seed_survey, wildcards.model),
        histories=lambda wildcards: JOBS.of_seeds(paths.seed_history, wildcards.model),
    output:
        receipt=update(paths.head("{model}")),
        history=report(
            paths.history("{model}"),
            caption="../report/history.rst",
            category="Training",
            labels={"model": "{model}", "shows": "history"},
        ),
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=30,
    shell:
        RUN


rule group:
    # `heap`: the chosen head of the dataset's model; or one seed's head by its name (`paths.seed_of`).
    input:
        features=paths.features("{dataset}"),
        head=lambda wildcards: JOBS.head(wildcards.by, wildcards.dataset),
    output:
        regions=paths.regions("{by}", "{dataset}"),
        maps=paths.maps("{by}", "{dataset}"),
    threads: 8
    resources:
        gpu=1,
        mem_mb=grows(8000),
        runtime=120,
    shell:
        RUN


rule train_found:
    # FOUND, a baseline, has a head of its own, trained on the same features. Its solver also looks at the photos.
    input:
        features=lambda wildcards: paths.features(
            CONFIG.models[wildcards.model].train_on
        ),
        manifest=lambda wildcards: paths.manifest(
            CONFIG.models[wildcards.model].train_on
        ),
    output:
        head=paths.found_head("{model}"),
        history=paths.found_history("{model}"),
    threads: 8
    resources:
        mem_mb=grows(8000),
        runtime=240,
    shell:
        RUN


rule baseline:
    input:
        features=paths.features("{dataset}"),
        head=lambda wildcards: (
            [paths.found_head(JOBS.model_of(wildcards.dataset))]
            if wildcards.method == "found"
            else []
        ),
    output:
        maps=paths.maps("{method}", "{dataset}"),
    # The others are done before a second process has started.
    threads: lambda wildcards: 8 if wildcards.method in ("kmeans", "lost", "tokencut") else 1
    resources:
        # TokenCut holds a photo's graph in each worker: 0.2 GB at 4,800 patches (ViT-S/8 at 640 x 480).
        mem_mb=grows(8000),
        runtime=240,
    shell:
        RUN
