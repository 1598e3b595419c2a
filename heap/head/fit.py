"""One head, optimised from one seed: deterministic on CPU by `heap.workers.fixed_threads`, across kills too."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor

from heap.errors import TrainingError
from heap.head.bank import Bank
from heap.head.batches import Batch, TrainingSet
from heap.head.checkpoint import Checkpoint
from heap.head.diagnose import diagnostics
from heap.head.feed import Feed
from heap.head.initialise import new_head
from heap.head.model import Grouping, Head
from heap.head.objective import loss_terms, rate, warmup_weight
from heap.progress import Progress
from heap.settings.models import TrainSettings

log = logging.getLogger("heap")

# Rows of history.csv are this many iterations apart. A GPU is asked for its numbers at these only: each question makes
# it wait.
HISTORY_EVERY = 10
# Columns that tell how fast it went, and so differ from run to run.
SPEED_COLUMNS = ("photos_per_s", "waiting_share")

Row = dict[str, float]


def fit(
    data: TrainingSet,
    dim: int,
    settings: TrainSettings,
    device: str,
    seed: int,
    checkpoint: Checkpoint | None = None,
    progress_file: Path | None = None,
    doing: str = "training",
) -> tuple[Head, list[Row], TrainSettings]:
    """Optimise a new head, or go on with the one of `checkpoint`.

    Args:
        data: the photos.
        dim: D, values of a feature.
        settings: of the training; its `seeds` are not looked at.
        device: torch device.
        seed: this head's.
        checkpoint: where the state is kept every `checkpoint_every` iterations; None keeps none.
        progress_file: for `heap status`.
        doing: what progress calls it.

    Returns:
        The head, the history's rows, and the settings with every `auto` replaced by its number.

    Raises:
        TrainingError: a loss or a gradient is not finite; the last checkpoint is kept.
        SystemExit: with 143 after SIGTERM; the state is kept.
        ValueError: the settings do not fit the features.
    """
    state = checkpoint.read() if checkpoint is not None else None
    rows: list[Row] = []
    start = 0
    if state is None:
        head, settings = new_head(data, dim, settings, seed)
    else:
        head = Head(dim, settings.head)
        head.load_state_dict(state["head"])
        rows, start = state["history"], state["iteration"]
        # Calibrated values are the checkpoint's; what changes no weight is what was asked for now.
        runtime = {name: getattr(settings, name) for name in ("checkpoint_every", "resident_gb")}
        settings = TrainSettings.model_validate({**state["settings"], **runtime})
        log.info("resuming after iteration %d", start)
    head.to(device).train()
    cuda = torch.device(device).type == "cuda"
    optimiser = optimiser_of(head, settings)
    bank = Bank(settings.loss.bank, dim, device) if settings.loss.bank and settings.loss.inter else None
    if state is not None:
        optimiser.load_state_dict(state["optimiser"])
        if bank is not None:
            bank.restore(state["bank"])
    progress = Progress(settings.steps, "iterations", doing, progress_file, done=start)
    guard = Guard(device, start, checkpoint)
    with Feed(data, device, seed, settings.batch_size, start) as feed, Termination() as termination:
        clock = Clock(feed.size)
        for iteration in range(start, settings.steps):
            for group in optimiser.param_groups:
                group["lr"] = rate(iteration, settings)
            batch = clock.next(feed)
            grouping, terms, norm = gradients(head, batch, settings, seed, iteration, bank)
            guard.note(terms, norm)
            last = iteration == settings.steps - 1
            tell = iteration % HISTORY_EVERY == 0 or last
            stop = termination.asked
            keep = checkpoint is not None and (stop or (iteration + 1) % settings.checkpoint_every == 0)
            if not cuda or tell or keep:
                guard.check(terms)
            optimiser.step()
            if bank is not None:
                bank.push(grouping, batch.photo, settings.loss.min_area)
            if tell:
                rows.append(
                    {
                        "seed": seed,
                        "iteration": iteration,
                        **{name: float(value.detach()) for name, value in terms.items()},
                        "gradient_norm": float(norm),
                        "learning_rate": rate(iteration, settings),
                        "prior_weight": warmup_weight(iteration / settings.steps, settings.loss),
                        **diagnostics(grouping, batch),
                        **clock.lap(),
                    }
                )
            if checkpoint is not None and keep:
                checkpoint.write(iteration + 1, head, optimiser, rows, settings, bank)
            progress.step()
            if stop:
                log.warning("%s: stopped by SIGTERM after iteration %d; the same command goes on", doing, iteration + 1)
                raise SystemExit(128 + signal.SIGTERM)
    progress.close()
    return head.eval(), rows, settings


def optimiser_of(head: Head, settings: TrainSettings) -> torch.optim.Optimizer:
    """Return AdamW over the head's weights, one pass over them a step."""
    return torch.optim.AdamW(head.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


def gradients(
    head: Head, batch: Batch, settings: TrainSettings, seed: int, iteration: int, bank: Bank | None = None
) -> tuple[Grouping, dict[str, Tensor], Tensor]:
    """Run one step up to the optimiser: the head's gradients are set, clipped to `grad_clip`.

    Returns:
        The grouping, the losses by name, and the gradient's norm before clipping.
    """
    half = settings.precision == "bfloat16"
    with torch.autocast(batch.features.device.type, torch.bfloat16, enabled=half, cache_enabled=False):
        grouping = head(batch.features, batch.mask if batch.padded else None)
    through = iteration / settings.steps
    terms = loss_terms(grouping, batch, settings.loss, through, [seed, iteration], bank)
    head.zero_grad(set_to_none=True)
    terms["loss"].backward()  # type: ignore[no-untyped-call]
    return grouping, terms, torch.nn.utils.clip_grad_norm_(head.parameters(), settings.grad_clip)


class Termination:
    """Note SIGTERM (what Slurm sends at a time limit or `scancel`), so that the step is ended and its state kept.

    Attributes:
        asked: the signal came.
    """

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Termination:
        # Python runs handlers in the main thread alone, and lets no other set them.
        self.main = threading.current_thread() is threading.main_thread()
        if self.main:
            self.before = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.main:
            signal.signal(signal.SIGTERM, self.before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


class Guard:
    """Stop at a number that is not finite, without asking a GPU at each step.

    Args:
        device: torch device, on which the steps are counted.
        start: iteration at which this run begins.
        checkpoint: named in the error.
    """

    def __init__(self, device: str, start: int, checkpoint: Checkpoint | None) -> None:
        self.start, self.checkpoint = start, checkpoint
        self.alive = torch.ones((), dtype=torch.bool, device=device)
        self.good = torch.zeros((), dtype=torch.int64, device=device)

    def note(self, terms: dict[str, Tensor], norm: Tensor) -> None:
        """Count the step if it and all before it are finite."""
        self.alive = self.alive & torch.isfinite(terms["loss"].detach()) & torch.isfinite(norm)
        self.good = self.good + self.alive

    def check(self, terms: dict[str, Tensor]) -> None:
        """Look at the count.

        Raises:
            TrainingError: a step was not finite.
        """
        if bool(self.alive):
            return
        values = ", ".join(f"{name} {float(value.detach()):.4g}" for name, value in terms.items())
        kept = "no checkpoint was written yet"
        if self.checkpoint is not None and self.checkpoint.path.is_file():
            kept = f"the last good checkpoint is kept ({self.checkpoint.path})"
        raise TrainingError(
            f"iteration {self.start + int(self.good)}: the loss or its gradient is not finite ({values}). "
            f"Lower train.learning_rate or train.grad_clip, or raise train.head.temperature; {kept}, and earlier "
            "heads are untouched"
        )


class Clock:
    """How fast the training goes, and which share of the time it waits for photos.

    Args:
        photos: a step.
    """

    def __init__(self, photos: int) -> None:
        self.photos = photos
        self.since = time.perf_counter()
        self.waited, self.steps = 0.0, 0

    def next(self, batches: Iterator[Any]) -> Any:
        """Return the next batch, and add the wait for it."""
        began = time.perf_counter()
        batch = next(batches)
        self.waited += time.perf_counter() - began
        self.steps += 1
        return batch

    def lap(self) -> Row:
        """Return photos a second and the share of waiting since the last call."""
        now = time.perf_counter()
        elapsed = max(now - self.since, 1e-9)
        row = {"photos_per_s": self.steps * self.photos / elapsed, "waiting_share": self.waited / elapsed}
        self.since, self.waited, self.steps = now, 0.0, 0
        return row
