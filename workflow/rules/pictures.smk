# Pictures for people: the curves of a training, and a picture of each photo. Nothing else asks for the latter.


rule curves:
    input:
        history=paths.history("{model}"),
    output:
        picture=report(
            paths.curves("{model}"),
            caption="../report/curves.rst",
            category="Training",
            labels={"model": "{model}", "shows": "losses and diagnostics"},
        ),
    threads: 1
    resources:
        mem_mb=grows(1000),
        runtime=10,
    shell:
        "python -m heap curves {input.history:q} --out {output.picture:q} 2>&1 | tee {log:q}"


rule pictures:
    input:
        manifest=paths.manifest("{dataset}"),
        maps=paths.maps("heap", "{dataset}"),
        clusters=paths.clusters("{dataset}"),
        masks=paths.masks("{dataset}"),
    output:
        receipt=paths.pictures("{dataset}"),
    threads: 8
    resources:
        mem_mb=grows(8000),
        runtime=120,
    shell:
        RUN
