# Shared by all files of this folder: the checked configuration, the paths, the names a wildcard may take.
import os
import re
import shlex
import sys

from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

sys.path.insert(0, workflow.basedir)

from heap import paths, settings, stages
from heap.errors import SettingsError
from heap.project import checks, jobs
from heap.settings.baselines import BASELINES
from heap.settings.command_line import typed

update_config(config, typed(workflow.config_settings.config))
try:
    CONFIG = settings.parse(config, "the configuration")
except SettingsError as error:
    raise WorkflowError(str(error)) from None
JOBS = jobs.Jobs(CONFIG)

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
    clustered="|".join([*CONFIG.datasets, *CONFIG.collections]),
    dataset="|".join(CONFIG.datasets),
    encoder="|".join(CONFIG.encoders),
    files="|".join(CONFIG.datasets),
    method="|".join(BASELINES),
    model="|".join(CONFIG.models),
    page="|".join([*CONFIG.benchmarks, *CONFIG.datasets]),
    head="|".join(CONFIG.heads()),
    by=rf"heap|({'|'.join(CONFIG.heads())})-seed[0-9]+",
    seed="[0-9]+",


# One stage: its options are those of heap/stages.py.
RUN = "python -m heap stage {params.options:q} 2>&1 | tee {log:q}"


def complete(each):
    """Give a rule its log, measured time and environment, and that of a stage its settings and options."""
    name = each.name
    if each.output:
        # Called by the wildcards of its first output, in their order.
        job = jobs.name_of(
            f"{found}}}" for found in re.findall(r"{\w+", each.output[0])
        )
        modifier = workflow.modifier.path_modifier
        each.log_modifier = each.benchmark_modifier = modifier
        each.set_log(paths.log(name, job))
        each.benchmark = paths.bench(name, job)
        each.conda_env = os.path.join(workflow.basedir, "envs/heap.yaml")
    if name in stages.STAGES:
        each.set_params(
            options=lambda wildcards, input, output: jobs.options(
                name, wildcards, dict(input.items()), dict(output.items())
            )
        )
        if stages.reads(name):
            each.set_params(settings=lambda wildcards: JOBS.settings(name, wildcards))


def over(path, *tasks):
    """An input function: a path of each dataset of the benchmark (its tasks of these kinds) or page of the wildcards."""
    return lambda wildcards: map(path, JOBS.shown(wildcards[0], *tasks))


def heap_maps(dataset):
    return paths.maps("heap", dataset)


def grows(mem_mb):
    """Memory of a job: `mem_mb` at first, as much again with each retry (`retries` of the profile)."""
    return lambda wildcards, attempt: attempt * mem_mb
