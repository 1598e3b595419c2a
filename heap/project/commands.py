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
    config: ConfigFile = _CONFIG,
    folder: Annotated[Path, typer.Option("--folder", help="The project: where Snakemake ran.")] = Path(),
    as_json: Json = False,
) -> None:
    """Explain what a key of the configuration means, and what runs again when it is edited.

    Of one key: meaning, value, allowed values, jobs that run again for the targets wanted or made here, how long they
    took the last time (Snakemake's measurement), and what is kept. Of a part, or with no key: one line for each key.
    """
    from heap.project import explain as words
    from heap.project.graph import wanted
    from heap.settings import load

    loaded = load(config)
    found = words.find(loaded, key)
    graph = wanted(loaded, folder)
    if as_json:
        echo_json([_record(place, loaded, graph, folder) for place in found])
        return
    if len(found) == 1:
        _tell(_record(found[0], loaded, graph, folder))
        return
    for place in found:
        rules = words.by_rule(graph, words.rerun(loaded, graph, place))
        echo(f"{place.path}: {_plain(place.value)}  -> {' '.join(rules) or 'nothing'}")


def _record(place: Any, config: Any, graph: Any, folder: Path) -> dict[str, Any]:
    from heap.project import explain as words

    jobs = words.rerun(config, graph, place)
    measured = [words.seconds_of(folder, job) for job in jobs]
    return {
        "key": place.path, "meaning": place.key.meaning, "value": place.value, "allowed": place.key.kind,
        "required": place.key.required, "default": place.key.default, "reruns": words.by_rule(graph, jobs),
        "kept": words.kept(place), "jobs": len(jobs), "jobs_measured": sum(one is not None for one in measured),
        "seconds_last": round(sum(one for one in measured if one is not None), 1),
    }  # fmt: skip


def _tell(record: dict[str, Any]) -> None:
    default = "must be given" if record["required"] else f"default {_plain(record['default'])}"
    echo(f"{record['key']}: {_plain(record['value'])}", f"  {record['meaning']}")
    echo(f"  allowed:  {record['allowed']}; {default}")
    if not record["jobs"]:
        echo("  re-runs:  nothing", f"  kept:     {record['kept']}")
        return
    rules = [f"{rule} ({', '.join(names)})" for rule, names in record["reruns"].items()]
    echo(*(f"{'' if number else '  re-runs:':<12}{rule}" for number, rule in enumerate(rules)))
    echo(f"  kept:     {record['kept']}")
    if record["jobs_measured"]:
        some = f"{record['jobs_measured']} of the {record['jobs']} jobs took"
        echo(f"  last run: {some} {record['seconds_last']:g} s (results/benchmarks)")
    else:
        echo(f"  last run: none of the {record['jobs']} jobs has run here yet")


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
    """Show what runs and how far it is, what is stale against the present configuration, sizes, GPUs, last failures.

    Reads only, and works in an empty folder. Stale is what was made with other settings or before its inputs; the last
    word has `snakemake -n`.
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
    from heap.project.status import summary

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
    if seen.problem:
        lines.append(f"jobs:     unknown, {seen.problem}")
    else:
        counts = seen.jobs
        lines.append(f"jobs:     {counts['made']} made, {counts['stale']} stale, {counts['missing']} missing")
    for what, jobs in (("stale", seen.stale), ("missing", seen.missing)):
        if jobs:
            lines.append(f"{what + ':':<10}{summary(jobs)}")
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
