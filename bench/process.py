"""Runs one program to its end or its deadline, and leaves none of its processes behind.

A peer's launcher may start ranks in sessions of their own, so processes are found by a mark.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_MARK = "RINGSYNC_BENCH_RUN"
_TIMED_OUT = 124  # as timeout(1) has it
_TAIL_CHARACTERS = 400  # of what a failing program said; the reason stands at the end


@dataclass(frozen=True, slots=True)
class Ending:
    """How a program ended.

    Attributes:
        status: Its exit code; negative for a signal; 124 after the deadline.
        output: The end of what it printed, in one line.
    """

    status: int
    output: str


def run_program(
    command: Sequence[str], variables: Mapping[str, str], place: Path, deadline_s: float
) -> Ending:
    """Run a program; whatever happens, all that it started has ended afterwards.

    Args:
        command: The program and its arguments.
        variables: What its environment has beyond this process's.
        place: Its working directory.
        deadline_s: Seconds after which it is killed.

    Returns:
        How it ended.

    Raises:
        OSError: It cannot be started.
    """
    mark = secrets.token_hex(16)
    with tempfile.TemporaryFile("w+") as output:
        running = subprocess.Popen(
            command,
            cwd=place,
            env=os.environ | dict(variables) | {_MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        with running:
            try:
                status = running.wait(deadline_s)
            except subprocess.TimeoutExpired:
                status = _TIMED_OUT
            finally:
                _kill_marked(mark)
        output.seek(0)
        return Ending(status, " ".join(output.read().split())[-_TAIL_CHARACTERS:])


def _kill_marked(mark: str) -> None:
    """Kill every process whose environment carries the mark."""
    wanted = f"{_MARK}={mark}".encode()
    for directory in Path("/proc").glob("[0-9]*"):
        # Processes end while they are looked at, and others' may not be looked at.
        with contextlib.suppress(OSError):
            if wanted in (directory / "environ").read_bytes().split(b"\0"):
                os.kill(int(directory.name), signal.SIGKILL)
