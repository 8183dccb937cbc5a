"""ringsync itself, measured as the peers are."""

from __future__ import annotations

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
        self._is_registered = memory == "registered"

    def make_array(self, count: int) -> Floats:
        """Make an array in this memory; see `Library`."""
        array: Floats = rs.empty(count) if self._is_registered else np.empty(count, np.float32)
        array.fill(0)
        return array
