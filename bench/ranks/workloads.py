"""What a program may do with its arrays, as one call that can be timed.

All of them leave in every array the sum over ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from bench.measure import Action
from bench.peers.library import Asynchronous, Floats, Grouping, Library

_BUCKET_BYTES = 25 * 2**20  # DistributedDataParallel's


def _allreduce(library: Library, arrays: Sequence[Floats]) -> Action:
    """One array, blocking."""
    return partial(library.allreduce, arrays[0])


def _barrier(library: Library, arrays: Sequence[Floats]) -> Action:
    """No array at all."""
    del arrays
    return library.barrier


def _by_tensor(library: Library, arrays: Sequence[Floats]) -> Action:
    """One after the other, blocking."""

    def call() -> None:
        for array in arrays:
            library.allreduce(array)

    return call


def _in_buckets(library: Library, arrays: Sequence[Floats]) -> Action:
    """Packed into flat buckets, these blocking one after the other, and unpacked."""
    buckets = [
        (members, np.zeros(sum(map(len, members)), np.float32)) for members in _fill_buckets(arrays)
    ]
    parts = [
        np.split(flat, np.cumsum([len(one) for one in members])[:-1]) for members, flat in buckets
    ]

    def call() -> None:
        for (members, flat), views in zip(buckets, parts, strict=True):
            np.concatenate(members, out=flat)
            library.allreduce(flat)
            for array, view in zip(members, views, strict=True):
                array[:] = view

    return call


def _posted(library: Asynchronous, arrays: Sequence[Floats]) -> Action:
    """All posted, then all waited for."""

    def call() -> None:
        for handle in [library.allreduce_async(array) for array in arrays]:
            handle.wait()

    return call


def _grouped(library: Grouping, arrays: Sequence[Floats]) -> Action:
    """All in one call."""
    return partial(library.grouped_allreduce, arrays)


# The libraries differ in what they can do, and their benches know it.
WORKLOADS: dict[str, Callable[[Any, Sequence[Floats]], Action]] = {
    "allreduce": _allreduce,
    "barrier": _barrier,
    "by-tensor": _by_tensor,
    "in-buckets": _in_buckets,
    "posted": _posted,
    "grouped": _grouped,
}


def _fill_buckets(arrays: Sequence[Floats]) -> Iterator[list[Floats]]:
    """Neighbours, as many as fit into a bucket; one that is larger is alone."""
    bucket: list[Floats] = []
    for array in arrays:
        if bucket and sum(one.nbytes for one in bucket) + array.nbytes > _BUCKET_BYTES:
            yield bucket
            bucket = []
        bucket.append(array)
    if bucket:
        yield bucket
