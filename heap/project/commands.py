"""`heap explain`: what a key means and what its edit costs. `heap status`: how a project stands."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heap.terminal import Console, echo, echo_json

if TYPE_CHECKING:
    from heap.project.status import Status

ConfigFile = Annotated[Path, typer.Option("--config", help="The configuration.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_CONFIG = Path("config/config.yaml")


def explain(
    key: Annotated[
        str,
        typer.Argument(help="A key (train.steps), or a part (train.loss) for a list.", show_default=False),
    ] = "",
    value: Annotated[
        str | None, typer.Argument(help="What it shall be, as YAML; else another allowed value.", show_default=False)
    ] = None,
    config: ConfigFile = _CONFIG,
    folder: Annotated[Path, typer.Option("--folder", help="The project: where Snakemake ran.")] = Path(),
    as_json: Json = False,
) -> None:
    """Explain what a key of the configuration means, and what an edit of it runs again.

    Of one key: meaning, value, allowed values, which resolved settings an edit changes (their jobs run again), and what
    Snakemake would then make again of what was made here. Of a part, or with no key: one line for each key.

    **Examples:** `heap explain train.steps`, `heap explain segment.threshold 0.6`
    """
    import yaml

    from heap.project import explain as edits
    from heap.settings import load, parse
    from heap.settings.config import read

    loaded, raw = load(config), read(config)
    found = edits.find(loaded, key)
    if len(found) > 1:
        rows = [{"key": one.path, "value": one.value, "meaning": one.key.meaning} for one in found]
        if as_json:
            echo_json(rows)
        else:
            echo(*(f"{row['key']}: {_plain(row['value'])}" for row in rows))
        return
    (place,) = found
    new = edits.another(raw, loaded, place) if value is None else yaml.safe_load(value)
    after = edits.edited(raw, place.path, new)
    changed = edits.differences(edits.resolved(loaded), edits.resolved(parse(after, f"{place.path}: {new!r}")))
    record = {
        "key": place.path, "meaning": place.key.meaning, "value": place.value, "allowed": place.key.kind,
        "required": place.key.required, "default": place.key.default, "edit": new, "changes": changed,
        "reruns": edits.reruns(changed), "runtime": bool(changed) and not edits.reruns(changed),
        "plan": edits.plan(folder, after),
    }  # fmt: skip
    if as_json:
        echo_json(record)
    else:
        echo(*_told(record))


def _told(record: dict[str, Any]) -> list[str]:
    default = "must be given" if record["required"] else f"default {_plain(record['default'])}"
    lines = [f"{record['key']}: {_plain(record['value'])}", f"  {record['meaning']}"]
    lines += [f"  allowed:  {record['allowed']}; {default}", f"  with {_plain(record['edit'])}:"]
    for job, keys in record["changes"].items():
        lines += [f"    {job}: {key} {_plain(old)} -> {_plain(now)}" for key, (old, now) in keys.items()]
    if record["runtime"]:
        return [*lines, "  re-runs:  nothing; the next job that runs uses it"]
    of_rule = [f"{rule} ({len(files)})" for rule, files in record["plan"].items()]
    again = ", ".join(of_rule) if of_rule else "nothing was made here that it concerns"
    again_for = ", ".join(record["reruns"]) or "what reads other files then (no job's own settings change)"
    lines.append(f"  re-runs:  {again_for}, and what follows")
    return [*lines, f"  files that Snakemake would make again here: {again}"]


def _plain(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def status(
    folder: Annotated[Path, typer.Argument(help="The project: where Snakemake runs.")] = Path(),
    config: Annotated[Path | None, typer.Option("--config", help="Other than FOLDER/config/config.yaml.")] = None,
    as_json: Json = False,
    watch: Annotated[
        float, typer.Option("--watch", min=0, metavar="SECONDS", help="Look again every so many seconds; 0: once.")
    ] = 0,
) -> None:
    """Show what runs and how far it is, what was made with other settings, sizes, GPUs, last failures.

    Reads only: progress files and Snakemake's records; works in an empty folder. What follows from an edit says
    `snakemake -n`.
    """
    from heap.project.status import look

    console = Console()
    while True:
        seen = look(folder, config or folder / _CONFIG)
        if watch and not as_json:
            console.clear()  # on a terminal only
        if as_json:
            echo_json(seen.record())
        else:
            echo(*_page(seen))
        if not watch:
            return
        time.sleep(watch)


def _page(seen: Status) -> list[str]:
    from heap.cache.commands import age_text, size_text

    lines = []
    for work in seen.work:
        share = f"{work.done:,} of {work.total:,}" if work.total else f"{work.done:,}"
        left = "" if work.left_s is None else f", {_duration(work.left_s)} left"
        silent = "" if work.runs else f"; silent for {age_text(work.silent_s)}: killed? (snakemake goes on with it)"
        lines.append(f"{work.doing}: {share} {work.what}, {work.rate_per_s:g} {work.what}/s{left}{silent}")
    if not lines:
        lines.append("nothing runs")
    if seen.snakemake:
        lines.append("Snakemake holds its lock here: it runs, or was killed (then snakemake --unlock)")
    made = ", ".join(f"{rule} {count}" for rule, count in seen.made.items())
    lines.append(f"made:     {sum(seen.made.values())} outputs ({made})" if made else "made:     nothing yet")
    if seen.problem:
        lines.append(f"edited:   unknown, {seen.problem}")
    for rule, files in seen.edited.items():
        more = f" and {len(files) - 3} more" if len(files) > 3 else ""
        lines.append(f"edited:   {rule}: {', '.join(files[:3])}{more}; snakemake -n says what follows")
    sizes = [f"{what} {size_text(size)}" for what, size in seen.bytes.items() if size]
    lines.append(f"on disk:  {', '.join(sizes) or 'nothing yet'}")
    cards = [f"{g['name']}, {g['used_mb']} of {g['total_mb']} MB, {g['load_percent']} % busy" for g in seen.gpus]
    lines.append(f"GPU:      {'; '.join(cards) or 'none (nvidia-smi reports none)'}")
    for failure in seen.failures[:5]:
        log = f" ({failure.log})" if failure.log else ""
        lines.append(f"failed:   {failure.job}, {age_text(failure.ago_s)} ago{log}")
        lines += [f"          {line}" for line in failure.message.splitlines()]
    return lines


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
