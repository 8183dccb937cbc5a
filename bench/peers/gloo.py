"""torch.distributed with gloo; a tensor over an array's memory costs about a microsecond a call.

Its operations take hundreds, so that tensors made on the way change no figure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import distributed

from bench.peers.library import Floats, Waitable


class World:
    """The default process group."""

    def __init__(self) -> None:
        """Join; torchrun has said how."""
        distributed.init_process_group("gloo")
        self.rank: int = distributed.get_rank()
        self.size: int = distributed.get_world_size()
        self.barrier = distributed.barrier

    def make_arrays(self, counts: Sequence[int]) -> list[Floats]:
        """Make ordinary arrays; see `Library`."""
        return [np.full(count, 0, np.float32) for count in counts]

    def allreduce(self, array: Floats) -> None:
        """Sum and block; see `Library`."""
        distributed.all_reduce(torch.from_numpy(array))

    def allreduce_async(self, array: Floats) -> Waitable:
        """Begin a sum; see `Asynchronous`."""
        work: Waitable = distributed.all_reduce(torch.from_numpy(array), async_op=True)
        return work
