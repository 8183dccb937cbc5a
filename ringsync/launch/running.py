"""Settles one job and runs it to its end: the supervisor, the private directory, the timeline.

Both doors to the launcher come here, the command line and `called`; they say what is asked for.
"""

from __future__ import annotations

import secrets
import signal
from pathlib import Path

from ringsync.errors import ConfigError
from ringsync.launch.directories import (
    make_job_directory,
    name_job_directory,
    remove_job_directory,
)
from ringsync.launch.job import Job
from ringsync.launch.outcome import write_report
from ringsync.launch.output import say
from ringsync.launch.signals import ASK_FOR_STACKS, SignalInbox
from ringsync.launch.supervise import supervise
from ringsync.report.merge import merge_directory


def settle(
    command: tuple[str, ...],
    size: int,
    environment: dict[str, str],
    start_timeout_s: float | None,
    is_tagged: bool | None,
) -> Job:
    """Settle what every job has, and how its ranks are told apart; touches no file.

    Args:
        command: Argument vector of every rank.
        size: Number of ranks.
        environment: What every rank shares; the limit of time is put into it.
        start_timeout_s: Seconds that ranks look for each other, or None for the default.
        is_tagged: Whether lines of output start with `[rank]`; None means with more than one rank.

    Returns:
        A job with a new id; what else is asked for is left to `dataclasses.replace`.
    """
    if start_timeout_s is not None:
        environment["RINGSYNC_START_TIMEOUT_S"] = f"{start_timeout_s:g}"
    job_id = secrets.token_hex(8)
    return Job(
        command=command,
        size=size,
        job_id=job_id,
        rendezvous=name_job_directory(job_id),
        environment=environment,
        is_tagged=size > 1 if is_tagged is None else is_tagged,
    )


def run_job(job: Job) -> int:
    """Run a job; this process must have one thread.

    Args:
        job: What to run; its directories for the timeline and logs are there.

    Returns:
        The launcher's exit code.

    Raises:
        ConfigError: The job's directory cannot be made, or the ranks cannot be started.
    """
    with SignalInbox(signal.SIGCHLD, *ASK_FOR_STACKS) as inbox:
        try:
            make_job_directory(job.rendezvous)
            status = supervise(job, inbox)
        finally:
            remove_job_directory(job.rendezvous)
    if job.timeline is not None:
        _merge(job.timeline, job.size)
    return status


def refuse(report: int | None, error: ConfigError, status: int) -> int:
    """Say why no rank is started, to people or to whoever asked for the job.

    Args:
        report: See `Job`.
        error: The reason.
        status: The launcher's exit code.

    Returns:
        `status`.
    """
    if report is None:
        say(str(error))
    else:
        write_report(report, {"error": str(error)})
    return status


def _merge(timeline: Path, size: int) -> None:
    try:
        merged = merge_directory(timeline)
    except (ConfigError, OSError) as error:
        say(f"[ringsyncrun] the timeline is not merged. {error}")
        return
    missing = sorted(set(range(size)) - set(merged.ranks))
    if missing:
        say(f"[ringsyncrun] the timeline has no file of ranks {missing}; they never wrote one.")
    say(
        f"[ringsyncrun] timeline of {len(merged.ranks)} ranks: {merged.path} "
        "(open it in ui.perfetto.dev or chrome://tracing)"
    )
