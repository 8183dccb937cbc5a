"""A barrier of shared memory and busy waiting, to start a measured call on all ranks at once.

It is independent of ringsync, so that it serves other libraries alike. It orders time, not data.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

_LINE_BYTES = 64  # a cache line per rank, or each arrival would disturb all who wait
_COUNTERS_PER_LINE = _LINE_BYTES // 8


def make_barrier_file(path: Path, size: int) -> None:
    """Make the file that ranks meet in.

    Args:
        path: The file; new.
        size: Number of ranks.
    """
    path.write_bytes(bytes(size * _LINE_BYTES))


class SpinBarrier:
    """One rank's side of a barrier. Ranks leave within about a microsecond of each other.

    A rank that never comes lets the others wait for ever: the launcher ends those.
    """

    def __init__(self, path: Path, rank: int, size: int) -> None:
        """Join.

        Args:
            path: What `make_barrier_file` made.
            rank: Number of this process.
            size: Number of ranks.
        """
        with path.open("r+b") as file:
            memory = mmap.mmap(file.fileno(), 0)
        self._counters = memoryview(memory).cast("q")
        self._mine = rank * _COUNTERS_PER_LINE
        self._others = [i * _COUNTERS_PER_LINE for i in range(size) if i != rank]
        self._turn = 0
        # With more ranks than cores, those who wait hold the core of one who is awaited.
        self._is_crowded = size > len(os.sched_getaffinity(0))

    def wait(self) -> None:
        """Return once every rank has called this as often."""
        self._turn += 1
        counters, turn = self._counters, self._turn
        counters[self._mine] = turn
        for other in self._others:
            while counters[other] < turn:
                if self._is_crowded:
                    os.sched_yield()
