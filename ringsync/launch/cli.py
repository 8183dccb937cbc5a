"""The entry point `ringsyncrun`: checks everything, runs the job, merges its timeline.

What it checks it checks before any rank starts; the running itself is supervise.py.
"""

from __future__ import annotations

import secrets
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from ringsync.errors import ConfigError
from ringsync.launch.arguments import Arguments, parse_arguments
from ringsync.launch.command import resolve_command
from ringsync.launch.directories import (
    make_job_directory,
    name_job_directory,
    prepare_logs,
    prepare_timeline,
    remove_job_directory,
)
from ringsync.launch.job import Job
from ringsync.launch.output import open_missing_standard_streams, say
from ringsync.launch.placement import choose_size, core_count
from ringsync.launch.signals import ASK_FOR_STACKS, SignalInbox
from ringsync.launch.spawn import share_cores, shared_environment
from ringsync.launch.stacks import show_stacks_when_asked
from ringsync.launch.supervise import supervise
from ringsync.report.merge import merge_directory

_USAGE_ERROR, _SOFTWARE_ERROR, _CONFIGURATION_ERROR = 2, 70, 78  # 70 and 78 of sysexits.h


def main(words: Sequence[str] | None = None) -> int:
    """Run `ringsyncrun`.

    Args:
        words: The command line without the program's name; None means `sys.argv`.

    Returns:
        0 after success; the first failing rank's exit code, or 128 + its signal; 128 + signal if
        the launcher was signalled; 2 for what cannot be run as written; 78 for what cannot be set
        up as asked; 70 after an error of the launcher's own.
    """
    open_missing_standard_streams()
    show_stacks_when_asked()
    try:
        try:
            job = _plan(parse_arguments(sys.argv[1:] if words is None else words))
        except ConfigError as error:
            say(str(error))
            return _USAGE_ERROR
        return _launch(job)
    except ConfigError as error:
        say(str(error))
        return _CONFIGURATION_ERROR
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception:  # the border of the program: told in full
        traceback.print_exc()
        return _SOFTWARE_ERROR


def _plan(arguments: Arguments) -> Job:
    """Settle everything that can be settled without touching a file."""
    size = choose_size(arguments.size, arguments.hosts)
    environment = shared_environment(arguments.exports)
    if arguments.start_timeout_s is not None:
        environment["RINGSYNC_START_TIMEOUT_S"] = f"{arguments.start_timeout_s:g}"
    job_id = secrets.token_hex(8)
    return Job(
        command=resolve_command(arguments.command, environment.get("PATH")),
        size=size,
        job_id=job_id,
        rendezvous=name_job_directory(job_id),
        environment=environment,
        timeline=arguments.timeline and arguments.timeline.absolute(),
        log_dir=arguments.log_dir and arguments.log_dir.absolute(),
        is_tagged=size > 1 if arguments.is_tagged is None else arguments.is_tagged,
        grace_s=arguments.grace_s,
        is_verbose=arguments.is_verbose,
        stacks_after_s=arguments.stacks_after_s,
    )


def _launch(job: Job) -> int:
    prepare_timeline(job.timeline)
    prepare_logs(job)
    if job.size > core_count():
        say(
            f"[ringsyncrun] {job.size} ranks share {core_count()} cores and take turns on them; "
            "expect less speed than with as many cores as ranks"
        )
    remark = share_cores(job.environment, job.size)
    if remark is not None:
        say(remark)
    with SignalInbox(signal.SIGCHLD, *ASK_FOR_STACKS) as inbox:
        try:
            make_job_directory(job.rendezvous)
            status = supervise(job, inbox)
        finally:
            remove_job_directory(job.rendezvous)
    if job.timeline is not None:
        _merge(job.timeline, job.size)
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
