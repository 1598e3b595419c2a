# `--forcerun train results/voc_metrics.csv` takes the target for a second value of its own, and without a target Snakemake
# makes everything: every download, days of work. Said before the first job (Snakemake knows its options no earlier).


onstart:
    asked = workflow.dag_settings
    for option in ("forcerun", "until", "omit_from"):
        taken = sorted(value for value in getattr(asked, option) if "/" in value)
        if taken and not asked.targets:
            rest = sorted(getattr(asked, option) - set(taken))
            flag = f"--{option.replace('_', '-')}"
            raise WorkflowError(
                f"{flag} took {', '.join(taken)} as its own value, so that no target is left and everything would be made. "
                f"Targets stand first: snakemake --cores all {shlex.join(taken)} {flag} {shlex.join(rest)} "
                "(where everything is meant: snakemake --cores all all ...)"
            )
    executor = workflow.executor_plugin.name
    planned = list(workflow.dag.needrun_jobs())
    if executor == "slurm":
        check_partitions()
    if executor != "touch":
        asked = [(job.rule.name, dict(job.wildcards.items())) for job in planned]
        wrong = checks.problems(CONFIG, asked, on_this_machine=executor == "local")
        if wrong:
            raise WorkflowError("\n".join(wrong))
    JOBS.write_settings(
        job.params.settings for job in planned if "settings" in job.params.keys()
    )


def refuse_unknown_targets():
    """Name the target that was meant where no rule makes the one that was typed; called when all rules are known."""
    outputs = [output for each in workflow.rules for output in each.output]
    for target in sys.argv[1:]:
        known = any(output.match(target) for output in outputs)
        if target.startswith(f"{paths.RESULTS}/") and not known:
            meant = checks.nearest(CONFIG, target)
            hint = f"; did you mean {', '.join(meant)}?" if meant else ""
            raise WorkflowError(f"{target}: no rule makes it{hint}")
