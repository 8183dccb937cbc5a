"""How gradients lie: in one flat array per device and dtype, cut into buckets.

A gradient is a view into it, so a bucket is a slice and nothing is packed. Which buckets there are
is a pure function of the parameters, equal on all ranks. What such memory is, its space knows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ringsync.arrays import Array
from ringsync.parallel.layout import TensorSpec
from ringsync.parallel.space import HOST, Place, Space
from ringsync.runtime import assign_buckets

# Fewer, and there would be nothing left to overlap with backward once the first is on its way.
LEAST_BUCKETS = 3

# In bytes, of what NumPy knows only where ml_dtypes is installed; a device needs neither.
_WIDTHS = {"bfloat16": 2}

# Views start on a cache line, so that vector loads of a gradient never straddle two.
_ALIGNMENT_BYTES = 64


@dataclass(frozen=True, slots=True)
class Bucket:
    """Tensors that are reduced together.

    Attributes:
        name: Key under which ranks meet.
        members: Indices of its tensors.
        space: Of all its memory.
        memory: Its part of the arena: the gradients and, on the host, `presence`.
        gradients: That of the gradients alone.
        presence: One number per member, on the host: 0 if it has no gradient, else above 0;
            infinite if the gradient had another form, NaN if it travels elsewhere. After the
            exchange, the sum of what ranks have told, or its average: 0 if no rank has one,
            infinite or NaN if that was so on any rank.
    """

    name: str
    members: tuple[int, ...]
    space: Space
    memory: Place
    gradients: Place
    presence: Array


@dataclass(frozen=True, slots=True)
class Arena:
    """All gradients of one set of parameters.

    Attributes:
        views: The gradient of each tensor, by index.
        buckets: In expected order of readiness. Where any lies on a device, the last one has no
            members: it holds the presence of all that do.
    """

    views: list[Place]
    buckets: list[Bucket]


def make_arena(
    specs: Sequence[TensorSpec], limit_bytes: int, name: str, space_of: Callable[[str], Space]
) -> Arena:
    """Lay out gradients for `specs`.

    Args:
        specs: The parameters, in registration order. Backward finishes the last ones first, so
            buckets follow the reverse order.
        limit_bytes: Most bytes in a bucket of more than one tensor.
        name: Prefix of the buckets' names.
        space_of: Gives the space of a device's kind.

    Returns:
        The arena; all zero.

    Raises:
        RingsyncError: There is no room.
    """
    views: dict[int, Place] = {}
    parts: list[tuple[tuple[int, ...], Space, Place, Place, Array]] = []
    apart = HOST.zeros(sum(not _is_on_host(spec.device) for spec in specs), "float32")
    told = 0  # of these
    for device, dtype in sorted({(spec.device, spec.dtype) for spec in specs}):
        order = [i for i in reversed(range(len(specs))) if _kind(specs[i]) == (device, dtype)]
        width = _WIDTHS.get(dtype) or np.dtype(dtype).itemsize
        sizes = [_padded(_count(specs[i]), width) for i in order]
        cut = assign_buckets([size * width for size in sizes], limit_bytes, LEAST_BUCKETS)
        more = [_padded(len(one), width) if _is_on_host(device) else 0 for one in cut]
        space = space_of(device)
        flat = space.zeros(sum(sizes) + sum(more), dtype)
        offset = 0
        for places, presence_size in zip(cut, more, strict=True):
            begin = offset
            members = tuple(order[place] for place in places)
            for index, place in zip(members, places, strict=True):
                end = offset + _count(specs[index])
                views[index] = flat[offset:end].reshape(specs[index].shape)
                offset += sizes[place]
            gradients = flat[begin:offset]
            if presence_size:
                presence = flat[offset : offset + len(members)]
            else:
                presence, told = apart[told : told + len(members)], told + len(members)
            offset += presence_size
            parts.append((members, space, flat[begin:offset], gradients, presence))
    # A bucket is ready with its first-registered member, whatever its device and dtype.
    parts.sort(key=lambda part: -min(part[0]))
    if apart.size:
        parts.append(((), HOST, apart, apart[:0], apart[:0]))
    buckets = [Bucket(f"{name}.{k}", *part) for k, part in enumerate(parts)]
    return Arena([views[i] for i in range(len(specs))], buckets)


def _is_on_host(device: str) -> bool:
    return device == "cpu"


def _kind(spec: TensorSpec) -> tuple[str, str]:
    return spec.device, spec.dtype


def _count(spec: TensorSpec) -> int:
    return math.prod(spec.shape)


def _padded(count: int, width: int) -> int:
    """Elements that `count` of them take up."""
    line = _ALIGNMENT_BYTES // width
    return -(-count // line) * line
