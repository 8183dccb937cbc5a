"""What a program may do with its arrays, as one call that can be timed.

All of them leave in every array the sum over ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from bench.measure import Action
from bench.peers.library import Floats, Library


def _allreduce(library: Library, arrays: Sequence[Floats]) -> Action:
    """One array, blocking."""
    return partial(library.allreduce, arrays[0])


def _barrier(library: Library, arrays: Sequence[Floats]) -> Action:
    """No array at all."""
    del arrays
    return library.barrier


WORKLOADS: dict[str, Callable[[Library, Sequence[Floats]], Action]] = {
    "allreduce": _allreduce,
    "barrier": _barrier,
}
