# Shared by all files of this folder: the checked configuration, the paths, the names a wildcard may take.
import os
import shlex
import sys

from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

sys.path.insert(0, workflow.basedir)

from heap import paths, settings
from heap.errors import SettingsError
from heap.settings.baselines import BASELINES
from heap.settings.command_line import typed
from heap.settings.config import ABLATION
from heap.settings.freeze import NAMED_BY, STAGE_VERSION

update_config(config, typed(workflow.config_settings.config))
try:
    CONFIG = settings.parse(config, "the configuration")
except SettingsError as error:
    raise WorkflowError(str(error)) from None

# In shell commands `python` is the environment's own with --sdm conda, else the one that runs Snakemake, activated or not.
CONDA = any(
    method.name.lower() == "conda"
    for method in workflow.deployment_settings.deployment_method
)
SEARCH = "" if CONDA else f"PATH={shlex.quote(os.path.dirname(sys.executable))}:$PATH"
# With `logger: heap` (profiles) what a job prints goes to its log alone, from which the logger quotes an error.
SHOWN = workflow.output_settings
LOGGED = "heap" in SHOWN.log_handler_settings
SILENCE = (
    "exec > /dev/null;"
    if LOGGED and not SHOWN.verbose and not SHOWN.printshellcmds
    else ""
)
# This replaces Snakemake's own prefix, so strict mode is said again: a failure left of `| tee` must fail the job.
shell.prefix(
    f"set -euo pipefail; export PYTHONPATH={shlex.quote(str(workflow.basedir))} {SEARCH}; {SILENCE} "
)


scattergather:
    extract=1,


wildcard_constraints:
    benchmark="|".join(CONFIG.benchmarks),
    collection="|".join(CONFIG.collections) or "(?!)",
    dataset="|".join(CONFIG.datasets),
    encoder="|".join(CONFIG.encoders),
    files="|".join(CONFIG.datasets),
    method="|".join(BASELINES),
    model="|".join(CONFIG.models),
    head="|".join(CONFIG.heads()),
    by=rf"heap|({'|'.join(CONFIG.heads())})-seed[0-9]+",
    seed="[0-9]+",
    name="[A-Za-z][A-Za-z0-9_]*",
    stage="|".join(STAGE_VERSION),


def frozen(stage):
    """The frozen settings of the job that the wildcards name."""
    return paths.settings(stage, f"{{{NAMED_BY[stage]}}}")


def means(stage):
    """Memory and checkpoints of the job that the wildcards name: an edit of these re-runs nothing."""
    return ancient(frozen(f"{stage}_means"))


def model_of(dataset):
    return CONFIG.datasets[dataset].model


def datasets_of(benchmark, *tasks):
    """The datasets of a benchmark's tasks (of these kinds), each once, in order."""
    chosen = CONFIG.benchmarks[benchmark].tasks
    names = [task.dataset for task in chosen if not tasks or task.task in tasks]
    return list(dict.fromkeys(names))


def of_seeds(path, head):
    """A path of each seed of a model, or of a variant of the ablation."""
    return [path(head, seed) for seed in CONFIG.train_settings(head).seeds]


def head_of(wildcards):
    """The head that `{by}` names, for a dataset."""
    if wildcards.by == "heap":
        return paths.head(model_of(wildcards.dataset))
    return paths.seed_head(*wildcards.by.rsplit("-seed", 1))


def seed_maps(benchmark):
    """Patch maps of the seeds that every model of a benchmark's datasets is trained with, over each of its datasets."""
    datasets = datasets_of(benchmark)
    seeds = [set(CONFIG.train_settings(model_of(name)).seeds) for name in datasets]
    return [
        paths.maps(paths.seed_of(model_of(name), seed), name)
        for seed in sorted(set.intersection(*seeds))
        for name in datasets
    ]


def ablation_maps():
    """Patch maps of each seed of every variant of the ablation, over each dataset of its benchmark."""
    return [
        paths.maps(paths.seed_of(ABLATION + variant, seed), name)
        for variant in CONFIG.ablation.variants
        for seed in CONFIG.ablation.seeds
        for name in datasets_of(CONFIG.ablation.benchmark)
    ]


def maps_of(benchmark):
    """Patch maps of every method of a benchmark, over each of its datasets."""
    return [
        paths.maps(method, dataset)
        for method in CONFIG.benchmarks[benchmark].methods
        for dataset in datasets_of(benchmark)
    ]


def grows(mem_mb):
    """Memory of a job: `mem_mb` at first, as much again with each retry (`retries` of the profile)."""
    return lambda wildcards, attempt: attempt * mem_mb
