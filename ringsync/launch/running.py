"""Runs one settled job to its end: the guard, the supervisor, the directories, the timeline.

Both doors to the launcher come here, the command line and `called`; they settle what a job is.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ringsync.errors import ConfigError
from ringsync.launch.directories import (
    make_job_directory,
    prepare_rank_logs,
    remove_job_directory,
)
from ringsync.launch.guard import Watched, run_guarded, signals_held
from ringsync.launch.job import Job
from ringsync.launch.outcome import write_report
from ringsync.launch.output import say
from ringsync.launch.supervise import supervise
from ringsync.report.merge import merge_directory

USAGE_ERROR = 2


def run_job(job: Job) -> int:
    """Run a job; this process must have one thread.

    Args:
        job: What to run.

    Returns:
        The launcher's exit code.

    Raises:
        ConfigError: A directory for logs cannot be made.
    """
    prepare_rank_logs(job)
    with signals_held() as watched:
        try:
            status = run_guarded(partial(_supervise, job, watched), watched)
        finally:
            remove_job_directory(job.rendezvous)
    if job.timeline is not None:
        _merge(job.timeline, job.size)
    return status


def refuse(report: int | None, error: ConfigError) -> int:
    """Say why no rank is started, to people or to whoever asked for the job.

    Args:
        report: See `Job`.
        error: The reason.

    Returns:
        The launcher's exit code.
    """
    if report is None:
        say(str(error))
    else:
        write_report(report, {"error": str(error)})
    return USAGE_ERROR


def _supervise(job: Job, watched: Watched, guard_fd: int) -> int:
    try:
        make_job_directory(job.rendezvous)
        return supervise(job, watched, guard_fd)
    except ConfigError as error:
        return refuse(job.report, error)
    finally:
        remove_job_directory(job.rendezvous)


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
