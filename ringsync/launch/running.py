"""Runs one settled job to its end: the supervisor, the private directory, the timeline.

Both doors to the launcher come here, the command line and `called`; they settle what a job is.
"""

from __future__ import annotations

import signal
from pathlib import Path

from ringsync.errors import ConfigError
from ringsync.launch.directories import make_job_directory, remove_job_directory
from ringsync.launch.job import Job
from ringsync.launch.outcome import write_report
from ringsync.launch.output import say
from ringsync.launch.signals import ASK_FOR_STACKS, SignalInbox
from ringsync.launch.supervise import supervise
from ringsync.report.merge import merge_directory

USAGE_ERROR, SOFTWARE_ERROR, CONFIGURATION_ERROR = 2, 70, 78  # 70 and 78 of sysexits.h


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
