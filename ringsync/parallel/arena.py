"""Where gradients live: one flat array of registered memory per dtype, cut into buckets.

A gradient is a view into it, so a bucket is a slice and nothing is packed. Which buckets there are
is a pure function of the parameters, equal on all ranks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ringsync.arrays import Array
from ringsync.memory import copy_past_caches, empty
from ringsync.parallel.layout import TensorSpec
from ringsync.runtime import assign_buckets

# What is added to them changes nothing, so that one rank's word reaches all.
CONVERTED = math.inf
ELSEWHERE = math.nan

# Fewer, and there would be nothing left to overlap with backward once the first is on its way.
LEAST_BUCKETS = 3

# Smaller gradients are still in the caches when the engine sums them.
_STREAMED_BYTES = 256 * 1024

# Views start on a cache line, so that vector loads of a gradient never straddle two.
_ALIGNMENT_BYTES = 64


@dataclass(frozen=True, slots=True)
class Bucket:
    """Tensors that are reduced together.

    Attributes:
        name: Key under which ranks meet.
        members: Indices of its tensors.
        memory: Its part of the arena: the gradients, then `presence`.
        presence: One number per member: 0 if it has no gradient, else above 0; `CONVERTED` if the
            gradient had another form, `ELSEWHERE` if it travels elsewhere. After the exchange, the
            sum of what ranks have told, or its average: 0 if no rank has one, infinite or NaN if
            that was so on any rank.
    """

    name: str
    members: tuple[int, ...]
    memory: Array
    presence: Array


@dataclass(frozen=True, slots=True)
class Arena:
    """All gradients of one set of parameters.

    Attributes:
        views: The gradient of each tensor, by index.
        buckets: In expected order of readiness.
    """

    views: list[Array]
    buckets: list[Bucket]


def copy_into(view: Array, gradient: Array) -> None:
    """Copy a gradient to its place in an arena.

    Args:
        view: Its place.
        gradient: Of the same shape.
    """
    is_alike = gradient.flags.c_contiguous and gradient.dtype == view.dtype
    if is_alike and view.nbytes >= _STREAMED_BYTES:
        copy_past_caches(view, gradient)
    else:
        np.copyto(view, gradient)


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
    parts: list[tuple[tuple[int, ...], Array, Array]] = []
    for dtype in sorted({spec.dtype for spec in specs}):
        order = [i for i in reversed(range(len(specs))) if specs[i].dtype == dtype]
        width = np.dtype(dtype).itemsize
        sizes = [_padded(_count(specs[i]), width) for i in order]
        cut = assign_buckets([size * width for size in sizes], limit_bytes, LEAST_BUCKETS)
        flat = empty(sum(sizes) + sum(_padded(len(places), width) for places in cut), dtype)
        offset = 0
        for places in cut:
            begin = offset
            members = tuple(order[place] for place in places)
            for index, place in zip(members, places, strict=True):
                end = offset + _count(specs[index])
                views[index] = flat[offset:end].reshape(specs[index].shape)
                offset += sizes[place]
            presence = flat[offset : offset + len(members)]
            offset += _padded(len(members), width)
            parts.append((members, flat[begin:offset], presence))
    # A bucket is ready with its first-registered member, whatever its dtype.
    parts.sort(key=lambda part: -min(part[0]))
    buckets = [Bucket(f"{name}.{k}", *part) for k, part in enumerate(parts)]
    return Arena([views[i] for i in range(len(specs))], buckets)


def _count(spec: TensorSpec) -> int:
    return math.prod(spec.shape)


def _padded(count: int, width: int) -> int:
    """Elements that `count` of them take up."""
    line = _ALIGNMENT_BYTES // width
    return -(-count // line) * line
