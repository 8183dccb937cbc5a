"""The entry point `ringsyncrun`: checks everything before any rank starts, and has the job run.

The running itself is running.py, which `ringsync.run` comes to by another door.
"""

from __future__ import annotations

import secrets
import signal
import sys
from collections.abc import Sequence

from ringsync.errors import ConfigError
from ringsync.info.report import describe_build
from ringsync.launch.arguments import Arguments, parse_arguments
from ringsync.launch.command import resolve_command
from ringsync.launch.directories import name_job_directory, prepare_logs, prepare_timeline
from ringsync.launch.job import Job
from ringsync.launch.output import answer, open_missing_standard_streams, say
from ringsync.launch.placement import choose_size, core_count
from ringsync.launch.running import refuse, run_job
from ringsync.launch.spawn import share_cores, shared_environment


def main(words: Sequence[str] | None = None) -> int:
    """Run `ringsyncrun`.

    Args:
        words: The command line without the program's name; None means `sys.argv`.

    Returns:
        0 after success; the first failing rank's exit code, or 128 + its signal; 128 + signal if
        the launcher was signalled; 2 for what cannot be run as written.
    """
    open_missing_standard_streams()
    try:
        arguments = parse_arguments(sys.argv[1:] if words is None else words)
        return _launch(arguments)
    except ConfigError as error:
        return refuse(None, error)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _launch(arguments: Arguments) -> int:
    if arguments.is_build_asked:
        return answer(describe_build(arguments.is_json))
    if arguments.is_json:
        raise ConfigError(
            "[ringsyncrun] --json goes with --check-build. Add it, or leave --json out."
        )
    size = choose_size(arguments.size, arguments.hosts)
    environment = shared_environment(arguments.exports)
    command = resolve_command(arguments.command, environment.get("PATH"))
    timeline = prepare_timeline(arguments.timeline)
    log_dir = prepare_logs(arguments.log_dir)
    if arguments.start_timeout_s is not None:
        environment["RINGSYNC_START_TIMEOUT_S"] = f"{arguments.start_timeout_s:g}"
    if size > core_count():
        say(
            f"[ringsyncrun] {size} ranks share {core_count()} cores and take turns on them; "
            "expect less speed than with as many cores as ranks"
        )
    remark = share_cores(environment, size)
    if remark is not None:
        say(remark)
    job_id = secrets.token_hex(8)
    job = Job(
        command=command,
        size=size,
        job_id=job_id,
        rendezvous=name_job_directory(job_id),
        environment=environment,
        timeline=timeline,
        log_dir=log_dir,
        is_tagged=size > 1 if arguments.is_tagged is None else arguments.is_tagged,
        grace_s=arguments.grace_s,
        is_verbose=arguments.is_verbose,
    )
    return run_job(job)
