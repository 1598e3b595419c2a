# What every rule file shares: the checked configuration, the paths, and which names a wildcard may take.
import os
import shlex
import sys

from snakemake.exceptions import WorkflowError

sys.path.insert(0, workflow.basedir)

from heap import paths, settings
from heap.errors import SettingsError
from heap.settings.freeze import NAMED_BY, STAGE_VERSION

try:
    CONFIG = settings.parse(config, "the configuration")
except SettingsError as error:
    raise WorkflowError(str(error)) from None

# With --sdm conda the environment's own python runs a job; otherwise the one that runs Snakemake, activated or not.
CONDA = any(
    method.name.lower() == "conda"
    for method in workflow.deployment_settings.deployment_method
)
HEAP = "python -m heap" if CONDA else f"{shlex.quote(sys.executable)} -m heap"
shell.prefix(f"export PYTHONPATH={shlex.quote(str(workflow.basedir))}; ")


scattergather:
    extract=1,


wildcard_constraints:
    benchmark="|".join(CONFIG.benchmarks),
    dataset="|".join(CONFIG.datasets),
    encoder="|".join(CONFIG.encoders),
    files="|".join(CONFIG.datasets),
    method="attention|centred_box|everything",
    model="|".join(CONFIG.models),
    name="[A-Za-z][A-Za-z0-9_]*",
    stage="|".join(STAGE_VERSION),


def frozen(stage):
    """The frozen settings of the job that a rule's wildcards name."""
    return paths.settings(stage, "{" + NAMED_BY[stage] + "}")


def model_of(dataset):
    return CONFIG.datasets[dataset].model


def datasets_of(benchmark, *tasks):
    """The datasets of a benchmark's tasks (of these kinds), each once, in order."""
    chosen = CONFIG.benchmarks[benchmark].tasks
    names = [task.dataset for task in chosen if not tasks or task.task in tasks]
    return list(dict.fromkeys(names))
