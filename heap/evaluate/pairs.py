"""Pairs of a prediction and its ground truth, run through a protocol: one photo after another, all methods at once.

Where pairs come from is not known here. `heap.evaluate.tasks` makes them of the cache's patch maps, several methods a
photo; `heap.evaluate.score.tasks` makes them of files, one method. Pairs and predictions travel to worker processes and
open there what they read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from typing import Protocol as Interface

import pandas as pd

from heap.errors import DataError
from heap.evaluate.measures import NO_INTERVALS, Measured, Resampling
from heap.evaluate.problems import refuse
from heap.evaluate.tables import Figure
from heap.evaluate.truth import Photo
from heap.progress import track
from heap.workers import spread, workers_for

# A method, and what was done to its maps ("" for nothing); both "" where files of one method are scored.
Key = tuple[str, str]
Skip = dict[str, str]  # photo, reason


@dataclass(frozen=True)
class Pair:
    """A photo with its ground truth, and what is known of its prediction before `Predictions` looks it up."""

    photo: Photo
    given: Any = None


class Predictions(Interface):
    """Where the predictions of a pair come from."""

    @property
    def keys(self) -> Sequence[Key]:
        """Every key that `of` may give, in the order of a table."""

    def of(self, pair: Pair) -> Mapping[Key, Any]:
        """Return the predictions of a photo; methods that have none are left out."""

    def why_missing(self, key: Key, photo: Photo) -> str:
        """Say why a photo has no prediction."""


@dataclass(frozen=True)
class Given:
    """The predictions that the pairs hold: one method, every photo."""

    keys: Sequence[Key] = (("", ""),)

    def of(self, pair: Pair) -> Mapping[Key, Any]:
        """Return the pair's prediction."""
        return {self.keys[0]: pair.given}

    def why_missing(self, key: Key, photo: Photo) -> str:
        """Say why a photo has no prediction; there is no such photo."""
        return "has no prediction"


@dataclass(frozen=True)
class Run:
    """How tasks are run.

    Attributes:
        workers: processes; None chooses.
        progress: file for `heap status`.
        resampling: of the intervals.
        smoothing: width of HEAP's smoothing, which makes the variants `+smooth`; 0 makes none.
    """

    workers: int | None = None
    progress: Path | None = None
    resampling: Resampling = NO_INTERVALS
    smoothing: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a task gave for one method.

    Attributes:
        key: whose predictions.
        measured: figures, intervals, notes, and a row for each photo.
        skipped: photos that are not in them, and why; in retrieval also those that the gallery lacks.
    """

    key: Key
    measured: Measured
    skipped: list[Skip]

    def figures(self, dataset: str, task: str, method: str) -> list[Figure]:
        """Return the rows of the metrics CSV."""
        one = self.measured
        counts = one.images, len(self.skipped), len(one.fallbacks)
        return [
            Figure(dataset, task, method, *key, value, *counts, *one.intervals.get(key, (None, None)))
            for key, value in one.figures.items()
        ]

    def photos(self, dataset: str, task: str, method: str) -> pd.DataFrame:
        """Return the figures of each photo."""
        names = {"dataset": dataset, "task": task, "method": method}
        return pd.DataFrame([{**names, **row} for row in self.measured.rows])

    @property
    def counts(self) -> dict[str, Any]:
        """What a JSON says of the photos."""
        fallbacks = self.measured.fallbacks
        return {"images": self.measured.images, "skipped": self.skipped, "fallbacks": fallbacks}


class Protocol:
    """How the photos of one task are scored."""

    name: ClassVar[str]

    def scorable(self, of: str, pairs: Sequence[Pair]) -> tuple[Sequence[Pair], list[Skip]]:
        """Return the pairs that can be scored, and the photos that are left out.

        Raises:
            DataError: there is nothing to score; the message begins with `of`.
        """
        return pairs, []

    def weight(self) -> int:
        """Say how many photos without a solver take as long as one."""
        return 1

    def truth(self, photo: Photo) -> Any:
        """Return what all methods need of a photo."""

    def score(self, one: Any, photo: Photo, truth: Any) -> Any:
        """Return what is kept of one prediction of a photo."""
        raise NotImplementedError

    def measured(self, kept: list[tuple[str, Any]], mark: str, resampling: Resampling) -> Measured:
        """Return the figures of what is kept of all photos, by name; `mark` is added to the names of variants."""
        raise NotImplementedError


@dataclass(frozen=True)
class Task:
    """What every protocol is run on.

    Attributes:
        of: the dataset, or where the files lie; for messages and progress.
        predictions: where they come from.
        run: how.
        mark: added to the names of variants.
        unlisted: photos of the dataset that are in no pair; their split is not known, so they count in every task.
    """

    of: str
    predictions: Predictions
    run: Run = Run()
    mark: str = ""
    unlisted: Sequence[Skip] = ()

    def score(self, protocol: Protocol, pairs: Sequence[Pair]) -> list[Outcome]:
        """Return what a protocol gives for each method.

        Raises:
            DataError: photos cannot be scored, or a method has a prediction of none of them; names them.
        """
        pairs, left_out = protocol.scorable(self.of, pairs)
        kept: dict[Key, list[tuple[str, Any]]] = {key: [] for key in self.predictions.keys}
        skipped: dict[Key, list[Skip]] = {key: [] for key in self.predictions.keys}
        problems = []
        workers = workers_for(len(pairs) * protocol.weight()) if self.run.workers is None else self.run.workers
        results = spread(Job(protocol, self.predictions), pairs, workers)
        doing = f"scoring {protocol.name} of {self.of}"
        for pair, result in zip(pairs, track(results, len(pairs), "photos", doing, self.run.progress), strict=True):
            name = pair.photo.image_id
            if isinstance(result, _Problem):
                problems.append(result.text)
                continue
            for key in kept:
                if key in result:
                    kept[key].append((name, result[key]))
                else:
                    skipped[key].append({"photo": name, "reason": self.predictions.why_missing(key, pair.photo)})
        refuse({"photos cannot be scored": problems})
        outcomes = []
        for key, of_method in kept.items():
            if not of_method:
                raise DataError(f"{self.of}: none of the {len(pairs)} photos of the task has a prediction of {key[0]}")
            measured = protocol.measured(of_method, key[1] + self.mark, self.run.resampling)
            outcomes.append(Outcome(key, measured, [*skipped[key], *left_out, *self.unlisted]))
        return outcomes


@dataclass(frozen=True)
class _Problem:
    """Why a photo cannot be scored."""

    text: str


@dataclass(frozen=True)
class Job:
    """One photo's work for all methods, so that its ground truth is read once. Errors are reported together."""

    protocol: Protocol
    predictions: Predictions

    def __call__(self, pair: Pair) -> dict[Key, Any] | _Problem:
        """Return by method what is kept of the photo, or why it cannot be scored."""
        try:
            there = self.predictions.of(pair)
            truth = self.protocol.truth(pair.photo) if there else None
            return {key: self.protocol.score(one, pair.photo, truth) for key, one in there.items()}
        except DataError as error:  # names its file itself
            return _Problem(str(error))
        except (KeyError, ValueError) as error:
            return _Problem(f"{pair.photo.path}: {error}")
