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
    if workflow.executor_plugin.name == "slurm":
        check_partitions()
