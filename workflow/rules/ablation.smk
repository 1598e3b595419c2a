# Variants of the training (losses off, fewer tokens), each over several seeds, on the features that are cached already:
# results/ablation.csv. Asked for by name only. The heads are rule train's, under names of their own.
VARIANTS = CONFIG.ablation.variants if CONFIG.ablation else []
ABLATED = datasets_of(CONFIG.ablation.benchmark) if CONFIG.ablation else []


if CONFIG.ablation:

    rule group_variant:
        input:
            settings=frozen("group"),
            features=paths.features("{dataset}"),
            head=paths.head(f"{ABLATION}{{variant}}"),
        output:
            regions=temp(paths.ablation_regions("{variant}", "{seed}", "{dataset}")),
            maps=paths.ablation_maps("{variant}", "{seed}", "{dataset}"),
        log:
            paths.log("group_variant", "{variant}.{seed}.{dataset}"),
        benchmark:
            paths.bench("group_variant", "{variant}.{seed}.{dataset}")
        wildcard_constraints:
            variant="|".join(VARIANTS),
        conda:
            "../../envs/heap.yaml"
        threads: 8
        resources:
            gpu=1,
            mem_mb=grows(8000),
            runtime=120,
        shell:
            "python -m heap group --settings {input.settings:q} --features {input.features:q} --head {input.head:q}"
            " --seed {wildcards.seed} --out-regions {output.regions:q} --out-maps {output.maps:q} 2>&1 | tee {log:q}"

    rule ablation:
        input:
            settings=paths.settings("ablation", CONFIG.ablation.benchmark),
            manifests=[paths.manifest(dataset) for dataset in ABLATED],
            maps=[
                paths.ablation_maps(variant, seed, dataset)
                for variant in VARIANTS
                for seed in CONFIG.ablation.seeds
                for dataset in ABLATED
            ],
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
