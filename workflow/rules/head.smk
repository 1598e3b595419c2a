# The HEAP head: each seed trained on cached features, one chosen, then run over datasets. Baselines make maps without it.


rule train:
    # Models, and the variants of the ablation, which are models with overrides. Only `select` writes what people use, so
    # a training that fails leaves it as it was.
    input:
        settings=frozen("train"),
        features=lambda wildcards: paths.features(
            CONFIG.heads()[wildcards.head].train_on
        ),
        manifest=lambda wildcards: paths.manifest(
            CONFIG.heads()[wildcards.head].train_on
        ),
        means=means("train"),
    output:
        # `update`: put back by Snakemake when a forced training fails.
        head=update(paths.seed_head("{head}", "{seed}")),
        history=update(paths.seed_history("{head}", "{seed}")),
        survey=update(paths.seed_survey("{head}", "{seed}")),
    log:
        paths.log("train", "{head}.{seed}"),
    benchmark:
        paths.bench("train", "{head}.{seed}")
    conda:
        "../../envs/heap.yaml"
    threads: 4
    resources:
        gpu=1,
        # The features that stay in memory, and as much again as a batch and its gradients take.
        mem_mb=grows(int(1000 * CONFIG.train.resident_gb) + 4000),
        runtime=240,
    shell:
        "python -m heap train --settings {input.settings:q} --means {input.means:q} --features {input.features:q}"
        " --manifest {input.manifest:q} --seed {wildcards.seed} --out {output.head:q} --history {output.history:q}"
        " --survey {output.survey:q} 2>&1 | tee {log:q}"


rule select:
    input:
        settings=frozen("select"),
        heads=lambda wildcards: of_seeds(paths.seed_head, wildcards.model),
        surveys=lambda wildcards: of_seeds(paths.seed_survey, wildcards.model),
        histories=lambda wildcards: of_seeds(paths.seed_history, wildcards.model),
    output:
        receipt=update(paths.head("{model}")),
        history=report(
            paths.history("{model}"),
            caption="../report/history.rst",
            category="Training",
            labels={"model": "{model}", "shows": "history"},
        ),
    log:
        paths.log("select", "{model}"),
    benchmark:
        paths.bench("select", "{model}")
    conda:
        "../../envs/heap.yaml"
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=30,
    params:
        heads=lambda wildcards, input: [f"--head={path}" for path in input.heads],
        surveys=lambda wildcards, input: [f"--survey={path}" for path in input.surveys],
        histories=lambda wildcards, input: [
            f"--seed-history={path}" for path in input.histories
        ],
    shell:
        "python -m heap select --settings {input.settings:q} {params.heads:q} {params.surveys:q} {params.histories:q}"
        " --out {output.receipt:q} --history {output.history:q} 2>&1 | tee {log:q}"


rule group:
    # `heap`: the chosen head of the dataset's model; or one seed's head by its name (`paths.seed_of`).
    input:
        settings=frozen("group"),
        features=paths.features("{dataset}"),
        head=head_of,
    output:
        regions=paths.regions("{by}", "{dataset}"),
        maps=paths.maps("{by}", "{dataset}"),
    log:
        paths.log("group", "{by}.{dataset}"),
    benchmark:
        paths.bench("group", "{by}.{dataset}")
    conda:
        "../../envs/heap.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=grows(8000),
        runtime=120,
    shell:
        "python -m heap group --settings {input.settings:q} --features {input.features:q} --head {input.head:q}"
        " --out-regions {output.regions:q} --out-maps {output.maps:q} 2>&1 | tee {log:q}"


rule train_found:
    # FOUND, a baseline, has a head of its own, trained on the same features. Its solver also looks at the photos.
    input:
        settings=frozen("found"),
        features=lambda wildcards: paths.features(
            CONFIG.models[wildcards.model].train_on
        ),
        manifest=lambda wildcards: paths.manifest(
            CONFIG.models[wildcards.model].train_on
        ),
    output:
        head=paths.found_head("{model}"),
        history=paths.found_history("{model}"),
    log:
        paths.log("train_found", "{model}"),
    benchmark:
        paths.bench("train_found", "{model}")
    conda:
        "../../envs/heap.yaml"
    threads: 8
    resources:
        mem_mb=grows(8000),
        runtime=240,
    shell:
        "python -m heap train-found --settings {input.settings:q} --features {input.features:q}"
        " --manifest {input.manifest:q} --out {output.head:q} --history {output.history:q} 2>&1 | tee {log:q}"


rule baseline:
    input:
        settings=frozen("maps"),
        features=paths.features("{dataset}"),
        head=lambda wildcards: (
            [paths.found_head(model_of(wildcards.dataset))]
            if wildcards.method == "found"
            else []
        ),
    output:
        maps=paths.maps("{method}", "{dataset}"),
    log:
        paths.log("baseline", "{method}.{dataset}"),
    benchmark:
        paths.bench("baseline", "{method}.{dataset}")
    conda:
        "../../envs/heap.yaml"
    # The others are done before a second process has started.
    threads: lambda wildcards: 8 if wildcards.method in ("kmeans", "lost", "tokencut") else 1
    resources:
        # TokenCut holds a photo's graph in each worker: 0.2 GB at 4,800 patches (ViT-S/8 at 640 x 480).
        mem_mb=grows(8000),
        runtime=240,
    params:
        head=lambda wildcards, input: [f"--head={path}" for path in input.head],
    shell:
        "python -m heap baseline {wildcards.method} --settings {input.settings:q} --features {input.features:q}"
        " {params.head:q} --out {output.maps:q} 2>&1 | tee {log:q}"
