"""Finds the processes of a test by a mark in their environment, which their children inherit."""

from __future__ import annotations

import contextlib
from pathlib import Path

MARK = "RINGSYNC_TEST_MARK"


def marked(mark: str) -> set[int]:
    """Every process that runs under `mark`."""
    wanted = f"{MARK}={mark}".encode()
    found = set()
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if wanted in (directory / "environ").read_bytes().split(b"\0"):
                found.add(int(directory.name))
    return found
