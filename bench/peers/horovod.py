"""Horovod, through its torch half, with the cycle time that it comes with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import horovod.torch as hvd
import numpy as np
import torch

from bench.peers.library import Floats


@dataclass(frozen=True, slots=True)
class _Begun:
    """A sum that was begun."""

    handle: int

    def wait(self) -> None:
        """Block until it is done."""
        hvd.synchronize(self.handle)


class World:
    """All ranks."""

    def __init__(self) -> None:
        """Join; horovodrun has said how."""
        hvd.init()
        self.rank: int = hvd.rank()
        self.size: int = hvd.size()
        self.barrier = hvd.barrier

    def make_arrays(self, counts: Sequence[int]) -> list[Floats]:
        """Make ordinary arrays; see `Library`."""
        return [np.full(count, 0, np.float32) for count in counts]

    def allreduce(self, array: Floats) -> None:
        """Sum and block; see `Library`."""
        hvd.allreduce_(torch.from_numpy(array), op=hvd.Sum)

    def allreduce_async(self, array: Floats) -> _Begun:
        """Begin a sum; see `Asynchronous`."""
        return _Begun(hvd.allreduce_async_(torch.from_numpy(array), op=hvd.Sum))

    def grouped_allreduce(self, arrays: Sequence[Floats]) -> None:
        """Sum them all; see `Grouping`."""
        hvd.grouped_allreduce_([torch.from_numpy(one) for one in arrays], op=hvd.Sum)
