# A job that asks for more than any node of its partition has waits in the queue for ever, and Slurm says so to nobody.
import subprocess


def minutes(limit):
    """Return a time limit of `sinfo` (days-hours:minutes:seconds, or infinite) in minutes."""
    if not limit[0].isdigit():
        return float("inf")
    days, _, clock = limit.rpartition("-")
    hours, mins, _ = ["0", "0", *clock.split(":")][-3:]
    return int(days or 0) * 1440 + int(hours) * 60 + int(mins)


def nodes_of(partition):
    """Return (cores, MB, minutes) of each kind of node in a partition of Slurm."""
    command = ["sinfo", "--noheader", "--exact", "-p", partition, "-o", "%c %m %l"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not done.stdout.strip():
        raise WorkflowError(
            f"profiles/slurm/config.yaml: Slurm has no nodes in the partition '{partition}' (keys `partition`, "
            f"`gpu_partition`): {done.stderr.strip() or 'sinfo lists none'}"
        )
    rows = (line.split() for line in done.stdout.splitlines())
    return [(int(cores), int(mb), minutes(limit)) for cores, mb, limit in rows]


def check_partitions():
    """Compare what each job asks for with the nodes of its partition, before the first one is submitted."""
    jobs = [
        job for job in workflow.dag.needrun_jobs() if not workflow.is_local(job.rule)
    ]
    found = {
        name: nodes_of(name)
        for job in jobs
        if (name := job.resources.get("slurm_partition"))
    }
    for job in jobs:
        name, ask = job.resources.get("slurm_partition"), job.resources.get
        asked = (ask("cpus_per_task", job.threads), ask("mem_mb", 0), ask("runtime", 0))
        nodes = found.get(name, [asked])
        if any(all(a <= b for a, b in zip(asked, node)) for node in nodes):
            continue
        most = [max(values) for values in zip(*nodes)]
        limits = f"{most[0]} cores, {most[1]} MB, {most[2]} minutes"
        raise WorkflowError(
            f"profiles/slurm/config.yaml: rule {job.rule.name} asks for {asked[0]} cores, {asked[1]} MB and {asked[2]} "
            f"minutes, and no node of the partition '{name}' has as much (at most "
            f"{limits.replace('inf', 'any number of')}): the job would wait for ever. Set `cores` to at most {most[0]}, less `mem_mb` or "
            "`runtime` of this rule below `set-resources`, or another partition."
        )
