"""How a job ended, in words for people (five lines) and in summary.json for programs.

Pure functions of recorded facts; they neither watch nor end anything.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ringsync.jobs.channels import write_message
from ringsync.launch.descendants import ProcessEnd, signal_name
from ringsync.launch.job import Job

_SCHEMA = 1
_LONGEST_QUOTE = 300  # characters of a rank's last stderr line that the last words repeat


class Cause(StrEnum):
    """Why the job ended."""

    SUCCESS = "success"
    RANK_FAILED = "rank failed"
    INTERRUPTED = "interrupted"
    LAUNCHER_KILLED = "launcher killed"
    OUTPUT_CLOSED = "output closed"


@dataclass(frozen=True, slots=True)
class RankRecord:
    """What is known of one rank.

    Attributes:
        rank: Its number.
        pid: Its process id.
        end: How it ended; None if it outlived SIGKILL.
        is_stopped: Whether it ended after the launcher had asked it to.
        duration_s: From its start to its end.
        last_stderr_line: The last line on its stderr that was not blank.
    """

    rank: int
    pid: int
    end: ProcessEnd | None
    is_stopped: bool
    duration_s: float
    last_stderr_line: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended.

    Attributes:
        cause: Why.
        status: Exit code of the launcher.
        detail: The signal's name or the system's message; "" where the cause says all.
        first_rank: The rank that failed first, or None.
        duration_s: From the first rank's start to the last process's end.
        ranks: One record per rank, in order.
    """

    cause: Cause
    status: int
    detail: str
    first_rank: int | None
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
    if outcome.first_rank is not None:
        return _failure_words(job, outcome, outcome.ranks[outcome.first_rank])
    if outcome.cause is Cause.SUCCESS:
        return []
    stopped = sum(record.is_stopped for record in outcome.ranks)
    detail = f" ({outcome.detail})" if outcome.detail else ""
    return [
        f"{outcome.cause}{detail} after {outcome.duration_s:.1f} s; "
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
        "cause": str(outcome.cause),
        "detail": outcome.detail,
        "exit_code": outcome.status,
        "first_failing_rank": outcome.first_rank,
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
    draft.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)
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
    end = record.end or ProcessEnd(0)
    others = sum(other.is_stopped for other in outcome.ranks)
    quote = record.last_stderr_line[:_LONGEST_QUOTE] or "(it wrote nothing there)"
    log = job.rank_log_dir(record.rank)
    logs = f"{log}/" if log else "not kept. Add --log-dir DIR to keep each rank's output"
    return [
        f"rank {record.rank} of {job.size} failed first, "
        f"{record.duration_s:.1f} s after its start; others ended: {others}.",
        f"  who: host {socket.gethostname()}, pid {record.pid}",
        f"  how: {end.describe()}; ringsyncrun exits with {outcome.status}",
        f"  last stderr line: {quote}",
        f"  logs: {logs}",
    ]


def _rank_summary(record: RankRecord) -> dict[str, object]:
    end = record.end
    number = end.signal_number if end else None
    return {
        "rank": record.rank,
        "pid": record.pid,
        "exit_code": end.status if end else None,
        "signal": signal_name(number) if number else None,
        "how": end.describe() if end else "outlived SIGKILL",
        "ended_by_launcher": record.is_stopped,
        "duration_s": round(record.duration_s, 3),
        "last_stderr_line": record.last_stderr_line,
    }
