"""The entry point `ringsyncrun`: checks everything before any rank starts, and has the job run.

The running itself is running.py, which `ringsync.run` comes to by another door.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace

from ringsync.errors import ConfigError
from ringsync.info.report import describe_build
from ringsync.launch.arguments import Arguments, parse_arguments
from ringsync.launch.codes import CONFIGURATION_ERROR, SOFTWARE_ERROR, UNAVAILABLE, USAGE_ERROR
from ringsync.launch.command import resolve_command
from ringsync.launch.directories import prepare_logs, prepare_timeline
from ringsync.launch.hosts import UnavailableError
from ringsync.launch.job import Job
from ringsync.launch.output import answer, open_missing_standard_streams, say
from ringsync.launch.placement import choose_size, core_count
from ringsync.launch.running import refuse, run_job, settle
from ringsync.launch.spawn import share_cores, shared_environment
from ringsync.launch.stacks import show_stacks_when_asked


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
        return _obey(sys.argv[1:] if words is None else words)
    except ConfigError as error:
        return refuse(None, error, CONFIGURATION_ERROR)
    except Exception:  # the border of the program: told in full
        traceback.print_exc()
        return SOFTWARE_ERROR


def _obey(words: Sequence[str]) -> int:
    try:
        arguments = parse_arguments(words)
        if arguments.is_build_asked:
            return answer(describe_build(arguments.is_json))
        job = _plan(arguments)
    except UnavailableError as error:
        return refuse(None, error, UNAVAILABLE)
    except ConfigError as error:
        return refuse(None, error, USAGE_ERROR)
    return _launch(job)


def _plan(arguments: Arguments) -> Job:
    """Settle everything that can be settled without touching a file."""
    if arguments.is_json:
        raise ConfigError(
            "[ringsyncrun] --json goes with --check-build. Add it, or leave --json out."
        )
    size = choose_size(arguments.size, arguments.hosts)
    environment = shared_environment(arguments.exports)
    command = resolve_command(arguments.command, environment.get("PATH"))
    return replace(
        settle(command, size, environment, arguments.start_timeout_s, arguments.is_tagged),
        timeline=arguments.timeline and arguments.timeline.absolute(),
        log_dir=arguments.log_dir and arguments.log_dir.absolute(),
        is_horovod=arguments.is_horovod,
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
    return run_job(job)
