# The HEAP head: trained on cached features, then run over datasets. Baselines make the same maps without it.


rule train:
    input:
        settings=frozen("train"),
        features=lambda wildcards: paths.features(
            CONFIG.heads()[wildcards.model].train_on
        ),
        means=means("train"),
    output:
        # The heads themselves lie beside it: a training that fails leaves the earlier ones, a setting that is put
        # back finds its own again.
        receipt=paths.head("{model}"),
        history=report(
            paths.history("{model}"),
            caption="../report/history.rst",
            category="Training",
            labels={"model": "{model}", "shows": "history"},
        ),
    log:
        paths.log("train", "{model}"),
    benchmark:
        paths.bench("train", "{model}")
    wildcard_constraints:
        # Those of the ablation too, of which no other rule knows.
        model="|".join(CONFIG.heads()),
    conda:
        "../../envs/heap.yaml"
    threads: 8
    resources:
        gpu=1,
        # The features that stay in memory, and as much again as a batch and its gradients take.
        mem_mb=grows(int(1000 * CONFIG.train.resident_gb) + 4000),
        runtime=240,
    shell:
        "python -m heap train --settings {input.settings:q} --means {input.means:q} --features {input.features:q}"
        " --out {output.receipt:q} --history {output.history:q} 2>&1 | tee {log:q}"


rule group:
    input:
        settings=frozen("group"),
        features=paths.features("{dataset}"),
        head=lambda wildcards: paths.head(model_of(wildcards.dataset)),
    output:
        regions=paths.regions("{dataset}"),
        maps=paths.maps("heap", "{dataset}"),
    log:
        paths.log("group", "{dataset}"),
    benchmark:
        paths.bench("group", "{dataset}")
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
