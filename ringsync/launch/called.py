"""The launcher as `ringsync.run` starts it, told what to run by its standard input.

The caller is another process and may have threads, children and signal handlers; whatever ends it
ends the job. How the job ended goes back through a descriptor, not to people.
"""

from __future__ import annotations

import signal
import sys
import traceback
from dataclasses import replace
from pathlib import Path

from ringsync.errors import ConfigError
from ringsync.jobs.request import Request, decode_request
from ringsync.launch.codes import CONFIGURATION_ERROR, SOFTWARE_ERROR
from ringsync.launch.descendants import die_with_parent
from ringsync.launch.directories import prepare_logs, prepare_timeline
from ringsync.launch.job import Job
from ringsync.launch.output import open_missing_standard_streams, say
from ringsync.launch.running import refuse, run_job, settle
from ringsync.launch.spawn import is_foreign, share_cores, shared_environment
from ringsync.launch.stacks import show_stacks_when_asked


def main() -> None:
    """Run the job that standard input describes, for the process whose number is the argument.

    Raises:
        SystemExit: Always; its code is the launcher's.
    """
    die_with_parent(int(sys.argv[1]), signal.SIGTERM)()
    open_missing_standard_streams()
    show_stacks_when_asked()
    request = decode_request(sys.stdin.buffer.read())
    if request is None:  # the caller has changed its mind, or is no more
        sys.exit(0)
    try:
        job = _settle(request)
        prepare_timeline(job.timeline, "[run] timeline")
        prepare_logs(job, "[run] log_dir")
        status = run_job(job)
    except ConfigError as error:
        status = refuse(request.report, error, CONFIGURATION_ERROR)
    except Exception:  # the border of the program: told in full
        traceback.print_exc()
        status = SOFTWARE_ERROR
    sys.exit(status)


def _settle(request: Request) -> Job:
    environment = shared_environment(())
    for name, value in request.environment.items():
        if is_foreign(name):
            raise ConfigError(
                f"[run] env: {name} is set by a launcher alone, which run is, for each rank. Leave "
                "it out."
            )
        environment[name] = value
    remark = share_cores(environment, request.size)
    if remark is not None and request.is_verbose:
        say(remark)
    return replace(
        settle(
            request.command, request.size, environment, request.start_timeout_s, request.is_tagged
        ),
        timeline=_path(request.timeline),
        log_dir=_path(request.log_dir),
        grace_s=request.grace_s,
        is_verbose=request.is_verbose,
        descriptors=request.descriptors,
        report=request.report,
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text).absolute()
