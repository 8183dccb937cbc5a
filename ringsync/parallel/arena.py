"""Where gradients live: one flat array of registered memory per dtype, cut into buckets.

A gradient is a view into it, so a bucket is a slice and nothing is packed. Which buckets there are
is a pure function of the parameters, equal on all ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ringsync.arrays import Array
from ringsync.parallel.layout import TensorSpec
from ringsync.runtime import assign_buckets, empty

# Fewer, and there would be nothing left to overlap with backward once the first is on its way.
LEAST_BUCKETS = 3

# Views start on a cache line, so that vector loads of a gradient never straddle two.
_ALIGNMENT_BYTES = 64


@dataclass(frozen=True, slots=True)
class Bucket:
    """Tensors that are reduced together.

    Attributes:
        name: Key under which ranks meet.
        members: Indices of its tensors.
        slice: Its part of the arena.
    """

    name: str
    members: tuple[int, ...]
    slice: Array


@dataclass(frozen=True, slots=True)
class Arena:
    """All gradients of one set of parameters.

    Attributes:
        views: The gradient of each tensor, by index.
        buckets: In expected order of readiness.
    """

    views: list[Array]
    buckets: list[Bucket]


def make_arena(specs: Sequence[TensorSpec], limit_bytes: int, name: str) -> Arena:
    """Lay out gradients for `specs` in registered memory.

    Args:
        specs: The parameters, in registration order. Backward finishes the last ones first, so
            buckets follow the reverse order.
        limit_bytes: Most bytes in a bucket of more than one tensor.
        name: Prefix of the buckets' names.

    Returns:
        The arena; all zero.

    Raises:
        RingsyncError: There is no room.
    """
    views: dict[int, Array] = {}
    slices: list[tuple[tuple[int, ...], Array]] = []
    for dtype in sorted({spec.dtype for spec in specs}):
        order = [i for i in reversed(range(len(specs))) if specs[i].dtype == dtype]
        sizes = [_padded_bytes(specs[i]) for i in order]
        flat = empty(sum(sizes) // np.dtype(dtype).itemsize, dtype)
        offset = 0
        for places in assign_buckets(sizes, limit_bytes, LEAST_BUCKETS):
            members = tuple(order[place] for place in places)
            begin = offset
            for index, place in zip(members, places, strict=True):
                views[index] = _view(flat, offset, specs[index])
                offset += sizes[place] // flat.itemsize
            slices.append((members, flat[begin:offset]))
    # A bucket is ready with its first-registered member, whatever its dtype.
    slices.sort(key=lambda item: -min(item[0]))
    buckets = [Bucket(f"{name}.{k}", *item) for k, item in enumerate(slices)]
    return Arena([views[i] for i in range(len(specs))], buckets)


def _padded_bytes(spec: TensorSpec) -> int:
    size_bytes = int(np.prod(spec.shape, dtype=np.int64)) * np.dtype(spec.dtype).itemsize
    return -(-size_bytes // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES


def _view(flat: Array, offset: int, spec: TensorSpec) -> Array:
    count = int(np.prod(spec.shape, dtype=np.int64))
    return flat[offset : offset + count].reshape(spec.shape)
