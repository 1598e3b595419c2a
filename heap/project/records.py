"""What Snakemake keeps of a project's jobs in `.snakemake/metadata`: one JSON file an output."""

from __future__ import annotations

import ast
import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from heap.errors import DataError
from heap.files import read_json
from heap.settings import Config
from heap.settings.freeze import frozen_digest, names_of
from heap.settings.resolved import STAGES


@dataclass(frozen=True)
class Record:
    """An output that was made.

    Attributes:
        output: its path in the project.
        rule: of Snakemake.
        of: whose resolved settings its job read, as `segment/scenes`; "" where it reads none.
        digest: of these settings.
        seconds: how long the job took.
    """

    output: str
    rule: str
    of: str
    digest: str
    seconds: float

    def edited(self, config: Config) -> bool:
        """Return whether the configuration has other settings for its job now."""
        stage, _, name = self.of.partition("/")
        if stage not in STAGES or name not in names_of(config, stage):
            return False
        return frozen_digest(config, stage, name) != self.digest


def records(folder: Path) -> Iterator[Record]:
    """Yield the records of a project; none where Snakemake never ran."""
    # Snakemake splits long names over folders; a leading @ marks a part.
    for file in sorted((folder / ".snakemake/metadata").rglob("*")):
        if not file.is_file():
            continue
        try:
            name = "".join(part.removeprefix("@") for part in file.relative_to(folder / ".snakemake/metadata").parts)
            output = base64.urlsafe_b64decode(name).decode()
            kept = read_json(file)
            settings = next((ast.literal_eval(text) for text in kept.get("params") or [] if text.startswith("[")), None)
            _, of, digest = settings or ("", "", "")
            seconds = float((kept.get("endtime") or 0) - (kept.get("starttime") or 0))
            yield Record(output, str(kept["rule"]), of, digest, max(seconds, 0.0))
        except (DataError, KeyError, ValueError, SyntaxError, TypeError):  # of another workflow, or being written
            continue


def outputs(folder: Path) -> list[str]:
    """Return the outputs that were made in a project."""
    return [record.output for record in records(folder)]
