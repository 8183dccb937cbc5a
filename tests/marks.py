"""Finds what a test has left: names in shared memory, and processes, which it ends too.

These have a mark in their environment, which their children inherit.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

MARK = "RINGSYNC_TEST_MARK"

# Of Python's multiprocessing and of torch's data loaders, which no rank here uses; other programs
# of the machine do, at any time, and leave some where they are killed.
_FOREIGN_NAMES = ("sem.mp-", "torch_")


def marked(mark: str) -> set[int]:
    """Every process that runs under `mark`."""
    wanted = f"{MARK}={mark}".encode()
    found = set()
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if wanted in (directory / "environ").read_bytes().split(b"\0"):
                found.add(int(directory.name))
    return found


def end_marked(mark: str) -> None:
    """Kill every process that runs under `mark`."""
    for pid in marked(mark):
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.kill(pid, signal.SIGKILL)


def shared_memory_names() -> set[str]:
    """All in /dev/shm that may come of a rank."""
    names = (path.name for path in Path("/dev/shm").iterdir())
    return {name for name in names if not name.startswith(_FOREIGN_NAMES)}
