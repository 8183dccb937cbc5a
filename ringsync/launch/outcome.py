"""How a job ended, in words for people (five lines) and in summary.json for programs.

Pure functions of recorded facts; they neither watch nor end anything.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from ringsync.endings import STALL_CODE
from ringsync.jobs.channels import write_message
from ringsync.launch.codes import CONFIGURATION_ERROR, NO_PERMISSION
from ringsync.launch.descendants import ProcessEnd, signal_name
from ringsync.launch.job import Job

_SCHEMA = 1
_LONGEST_QUOTE = 300  # characters of what a rank wrote that the last words repeat


class Cause(StrEnum):
    """Why the job ended."""

    SUCCESS = "success"
    RANK_FAILED = "rank failed"
    STALLED = "stall"
    TIMED_OUT = "time-out"
    START_TIMED_OUT = "start time-out"
    UNAUTHENTICATED = "authentication"
    MISCONFIGURED = "configuration"
    INTERRUPTED = "interrupted"
    GUARD_LOST = "guard lost"
    UNSTARTED = "not started"
    OUTPUT_CLOSED = "output closed"


# An uncaught exception ends Python with 1. These kinds say more, in the words of sysexits.h: try
# again later, no access, configuration.
_UNCAUGHT_EXCEPTION = 1
_EXCEPTIONS = {
    "ringsync.errors.StallError": (STALL_CODE, Cause.STALLED),
    "ringsync.errors.TimedOutError": (STALL_CODE, Cause.TIMED_OUT),
    "ringsync.errors.RendezvousError": (STALL_CODE, Cause.START_TIMED_OUT),
    "ringsync.errors.AuthenticationError": (NO_PERMISSION, Cause.UNAUTHENTICATED),
    "ringsync.errors.ConfigError": (CONFIGURATION_ERROR, Cause.MISCONFIGURED),
}
_EXCEPTION_STATUSES = {status for status, _ in _EXCEPTIONS.values()}


@dataclass(slots=True)  # not frozen: its guard's reports fill it in, one after the other
class RankRecord:
    """What is known of one rank.

    Attributes:
        rank: Its number.
        pid: Its process id; 0 if it was never started.
        started_s: Seconds since 1970; 0 if never.
        ended_s: Likewise.
        end: How it ended; None if it outlived SIGKILL.
        is_stopped: Whether it ended after the launcher had asked it to.
        stderr: The last lines on its stderr that were not blank.
        exception: What the last traceback there ended with, or "".
        is_final: Whether nothing followed that traceback.
    """

    rank: int
    pid: int = 0
    started_s: float = 0.0
    ended_s: float = 0.0
    end: ProcessEnd | None = None
    is_stopped: bool = False
    stderr: list[str] = field(default_factory=list)
    exception: str = ""
    is_final: bool = False

    def failure(self) -> tuple[int, Cause]:
        """The launcher's exit code, and why the job ended, if this rank is the first to fail."""
        status = self.end.status if self.end else 128 + signal.SIGKILL
        otherwise = (status, Cause.RANK_FAILED)
        if status != _UNCAUGHT_EXCEPTION or not self.is_final:
            return otherwise
        return _EXCEPTIONS.get(self.exception.partition(":")[0], otherwise)


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a job is being ended, from the first reason on; later ones change nothing.

    Attributes:
        cause: Why.
        status: Exit code of the launcher.
        detail: The signal's name or the system's message; "" where the cause says all.
        first_rank: The rank that failed first, or None.
    """

    cause: Cause
    status: int
    detail: str = ""
    first_rank: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended.

    Attributes:
        ending: Why.
        duration_s: From the first rank's start to the last process's end.
        ranks: One record per rank, in order.
    """

    ending: Ending
    duration_s: float
    ranks: tuple[RankRecord, ...]


def last_words(job: Job, outcome: Outcome) -> list[str]:
    """Tell people what happened: five lines for a failed rank, one for other causes.

    Args:
        job: The job.
        outcome: How it ended.

    Returns:
        Lines without prefix and newline; none after success.
    """
    ending = outcome.ending
    if ending.first_rank is not None:
        return _failure_words(job, outcome, outcome.ranks[ending.first_rank])
    if ending.cause is Cause.SUCCESS:
        return []
    stopped = sum(record.is_stopped for record in outcome.ranks)
    detail = f" ({ending.detail})" if ending.detail else ""
    return [
        f"{ending.cause}{detail} after {outcome.duration_s:.1f} s; "
        f"{stopped} of {job.size} ranks were still running and have been ended."
    ]


def summary_of(job: Job, outcome: Outcome) -> dict[str, object]:
    """Put into JSON's types: cause, exit code, first failing rank, and each rank's end.

    Args:
        job: The job.
        outcome: How it ended.

    Returns:
        What summary.json holds.
    """
    return {
        "schema": _SCHEMA,
        "job_id": job.job_id,
        "host": socket.gethostname(),
        "size": job.size,
        "cause": str(outcome.ending.cause),
        "detail": outcome.ending.detail,
        "exit_code": outcome.ending.status,
        "first_failing_rank": outcome.ending.first_rank,
        "how": _how(outcome),
        "duration_s": round(outcome.duration_s, 3),
        "ranks": [_rank_summary(record) for record in outcome.ranks],
    }


def write_summary(directory: Path, summary: dict[str, object]) -> Path:
    """Write summary.json.

    Args:
        directory: The log directory.
        summary: What `summary_of` gave.

    Returns:
        The file.

    Raises:
        OSError: It cannot be written.
    """
    path = directory / "summary.json"
    draft = directory / f".summary.json.{os.getpid()}"
    try:
        draft.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    return path


def write_report(descriptor: int, summary: Mapping[str, object]) -> None:
    """Hand the outcome to the process that asked for the job.

    Args:
        descriptor: A channel of that process.
        summary: What `summary_of` gave, or `error` alone if no rank was started.
    """
    text = json.dumps(summary).encode("ascii")
    write_message(descriptor, b"J", lambda file: file.write(text))


def _failure_words(job: Job, outcome: Outcome, record: RankRecord) -> list[str]:
    others = sum(other.is_stopped for other in outcome.ranks)
    last = record.stderr[-1][:_LONGEST_QUOTE] if record.stderr else "(it wrote nothing there)"
    log = job.rank_log_dir(record.rank)
    logs = f"{log}/" if log else "not kept. Add --log-dir DIR to keep each rank's output"
    return [
        f"rank {record.rank} of {job.size} failed first, "
        f"{record.ended_s - record.started_s:.1f} s after its start; others ended: {others}.",
        f"  who: host {socket.gethostname()}, pid {record.pid}",
        f"  how: {_how(outcome)}; ringsyncrun exits with {outcome.ending.status}",
        f"  last stderr line: {last}",
        f"  logs: {logs}",
    ]


def _how(outcome: Outcome) -> str:
    """How the rank that failed first ended; "" where none did."""
    if outcome.ending.first_rank is None:
        return ""
    record = outcome.ranks[outcome.ending.first_rank]
    words = record.end.describe() if record.end else "outlived SIGKILL"
    codes = {_UNCAUGHT_EXCEPTION, *_EXCEPTION_STATUSES}  # a rank may choose these itself
    if record.end and record.end.code in codes and record.exception:
        # What was caught and shown did not end the rank; to tell it is still better than nothing.
        link = " after" if record.is_final else "; its last traceback ended with"
        words += f"{link} {record.exception[:_LONGEST_QUOTE]}"
    return words


def _rank_summary(record: RankRecord) -> dict[str, object]:
    end = record.end
    number = end.signal_number if end else None
    return {
        "rank": record.rank,
        "host": socket.gethostname(),
        "pid": record.pid or None,
        "started": _moment(record.started_s),
        "ended": _moment(record.ended_s),
        "exit_code": end.status if end else None,
        "signal": signal_name(number) if number else None,
        "how": end.describe() if end else "outlived SIGKILL" if record.pid else "never started",
        "ended_by_launcher": record.is_stopped,
        "exception": record.exception or None,
        "last_stderr_lines": record.stderr,
    }


def _moment(seconds: float) -> str | None:
    """Write a time as ISO 8601 in UTC."""
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
