"""Any MPI, through mpi4py: NumPy arrays, reduced in place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mpi4py import MPI

from bench.peers.library import Floats


class World:
    """COMM_WORLD."""

    def __init__(self) -> None:
        """Join; mpirun has said how."""
        self._world = MPI.COMM_WORLD
        self.rank: int = self._world.Get_rank()
        self.size: int = self._world.Get_size()
        self.barrier = self._world.Barrier

    def make_arrays(self, counts: Sequence[int]) -> list[Floats]:
        """Make ordinary arrays; see `Library`."""
        return [np.full(count, 0, np.float32) for count in counts]

    def allreduce(self, array: Floats) -> None:
        """Sum and block; see `Library`."""
        self._world.Allreduce(MPI.IN_PLACE, array, op=MPI.SUM)
