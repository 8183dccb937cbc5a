"""ringsync itself, measured as the peers are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

import ringsync as rs
from bench.peers.library import Floats


class World:
    """The group of all ranks, with arrays in one kind of memory."""

    def __init__(self, memory: str) -> None:
        """Join.

        Args:
            memory: Where arrays lie: "private" or "registered".
        """
        rs.init()
        self.rank = rs.rank()
        self.size = rs.size()
        self.barrier = rs.barrier
        self.allreduce = partial(rs.allreduce_, op=rs.Sum)
        self.allreduce_async = partial(rs.allreduce_async_, op=rs.Sum)
        self.grouped_allreduce = partial(rs.grouped_allreduce_, op=rs.Sum)
        self._is_registered = memory == "registered"

    def make_arrays(self, counts: Sequence[int]) -> list[Floats]:
        """Make arrays in this memory, registered ones as parts of one; see `Library`."""
        if not self._is_registered:
            return [np.full(count, 0, np.float32) for count in counts]
        if not counts:
            return []
        memory: Floats = rs.empty(sum(counts))
        memory.fill(0)
        return np.split(memory, np.cumsum(counts)[:-1])
