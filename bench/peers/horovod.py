"""Horovod, through its torch half, with the cycle time that it comes with.

Arrays have names of their own, as gradients have: what has one is agreed on by a cache.
"""

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
        self._names: dict[int, str] = {}
        self.rank: int = hvd.rank()
        self.size: int = hvd.size()
        self.barrier = hvd.barrier

    def make_arrays(self, counts: Sequence[int]) -> list[Floats]:
        """Make ordinary arrays; see `Library`."""
        arrays = [np.full(count, 0, np.float32) for count in counts]
        self._names = {id(array): f"array.{i}" for i, array in enumerate(arrays)}
        return arrays

    def allreduce(self, array: Floats) -> None:
        """Sum and block; see `Library`."""
        hvd.allreduce_(torch.from_numpy(array), name=self._names[id(array)], op=hvd.Sum)

    def allreduce_async(self, array: Floats) -> _Begun:
        """Begin a sum; see `Asynchronous`."""
        name = self._names[id(array)]
        return _Begun(hvd.allreduce_async_(torch.from_numpy(array), name=name, op=hvd.Sum))

    def grouped_allreduce(self, arrays: Sequence[Floats]) -> None:
        """Sum them all; see `Grouping`."""
        tensors = [torch.from_numpy(one) for one in arrays]
        hvd.grouped_allreduce_(tensors, name="arrays", op=hvd.Sum)
