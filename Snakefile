# HEAP: from photos to masks and metric tables. Targets, by name (see README.md and heap/paths.py):
#   results/{benchmark}_metrics.csv     demo, ecssd, duts_te, dut_omron, voc, coco20k, or your own of config/datasets.yaml
#   results/{benchmark}_table.md        the same figures as a table for people
#   results/{benchmark}_seeds.csv       mean and deviation over the seeds of the training; nothing else asks for it
#   results/ablation.csv                the same over variants of the training (losses off, tokens), section `ablation`
#   results/report/{benchmark}.html     pictures, and the same figures; {dataset}.html: pictures of any dataset
#   results/pictures/{dataset}.json     a picture of each photo: saliency, regions, objects; nothing else asks for it
#   results/head/{model}_curves.svg     the curves of a training
#   results/models/{model}.json         a trained model as one folder next to it (heap.load, heap predict)
#   results/clusters/{collection}.parquet    regions of several datasets, clustered and searched together
#   results/masks/{dataset}.json        masks of every photo of a dataset (photos: your own folder)
# The way of the data: fetch, manifest, extract (scattered, gathered), train, group, cluster, segment, evaluate, report.
from snakemake.utils import min_version

min_version("9.27")


configfile: "config/datasets.yaml"
configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/slurm.smk"
include: "workflow/rules/targets.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/head.smk"
include: "workflow/rules/regions.smk"
include: "workflow/rules/model.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/pictures.smk"


rule all:
    default_target: True
    input:
        [paths.metrics(name) for name in CONFIG.benchmarks],
        [paths.comparison(name) for name in CONFIG.benchmarks],
        [paths.report(name) for name in CONFIG.benchmarks],
    localrule: True


for each in workflow.rules:
    complete(each)
refuse_unknown_targets()
