"""Run Snakemake as a user would, in a folder of its own, with the repository's Snakefile."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from heap.settings.config import read

REPOSITORY = Path(__file__).resolve().parents[2]
LOGGER = REPOSITORY / "workflow/logger"


def environment() -> dict[str, str]:
    """Variables with which Snakemake finds this checkout's logger, whatever is installed."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(LOGGER), os.environ.get("PYTHONPATH")]))}


class Run:
    """A working folder with a configuration, in which targets are made.

    Tests read Snakemake's own output, which `--printshellcmds` asks for, unless `options` is emptied.
    """

    options: tuple[str, ...] = ("--printshellcmds",)

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder = folder
        self.edit(config)

    def edit(self, config: dict[str, Any]) -> None:
        self.config = copy.deepcopy(config)
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def snakemake(self, *arguments: str, ok: bool = True) -> str:
        command = [
            sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"),
            "--directory", str(self.folder), "--configfile", str(self.folder / "config.yaml"),
            "--cores", "2", *arguments, *self.options,
        ]  # fmt: skip
        done = subprocess.run(
            command, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, timeout=900, check=False
        )
        text = done.stdout + done.stderr
        assert (done.returncode == 0) == ok, text[-6000:]
        return text

    def planned(self, *targets: str) -> set[str]:
        """The rules that a dry run would run."""
        text = self.snakemake("-n", *targets)
        table = re.search(r"^job +count\n-+ +-+\n(.*?)^total", text, re.DOTALL | re.MULTILINE)
        return set(re.findall(r"^(\w+) +\d+", table[1], re.MULTILINE)) if table else set()


@pytest.fixture(scope="session")
def small_config() -> Callable[[], dict[str, Any]]:
    """The shipped configuration, cut down to seconds."""

    def make() -> dict[str, Any]:
        config: dict[str, Any] = read(REPOSITORY / "config/config.yaml")
        config["datasets"]["scenes"] |= {"train_images": 10, "val_images": 6, "height_px": 96, "width_px": 128}
        config["datasets"]["scenes"]["foreground_clusters"] = 4
        config["train"] |= {"steps": 20, "batch_size": 8}
        config["train"]["head"]["num_groups"] = 6
        config["cluster"] |= {"foreground": 4, "background": 4, "restarts": 1}
        config["models"]["demo"]["min_train_images"] = 4
        config["models"]["demo"]["overrides"] = {"seeds": [0, 1]}
        config["report"]["photos"] = 6
        config["ablation"] |= {"seeds": [0, 1], "variants": {"no_inter": {"loss": {"inter": 0}}, "full": {}}}
        config["baselines"] = {"found": {"steps": 6, "batch_size": 4, "seed_steps": 3}}
        return config

    return make
