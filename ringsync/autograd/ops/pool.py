"""Pooling: the largest element of every window of a picture.

Not for reductions over whole axes. Windows are walked by their offsets, one strided pass each.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ringsync.autograd.primitive import Array, primitive
from ringsync.namespaces import namespace_of


def _padded(x: Array, pad: int) -> Array:
    if pad == 0:
        return x
    lowest = -np.inf if np.issubdtype(x.dtype, np.inexact) else np.iinfo(x.dtype).min
    border = (pad, pad)
    return np.pad(x, ((0, 0), (0, 0), border, border), constant_values=lowest)


def _offsets(kernel: int, stride: int, out: Array) -> Iterator[tuple[slice, slice, slice, slice]]:
    """For each place in a window, where it lies in the picture, for all windows at once."""
    height, width = (stride * (size - 1) + 1 for size in out.shape[2:])
    for top in range(kernel):
        for left in range(kernel):
            rows = slice(top, top + height, stride)
            yield slice(None), slice(None), rows, slice(left, left + width, stride)


def _max_pool2d_vjp(
    g: Array, out: Array, x: Array, *, kernel: int, stride: int, pad: int = 0
) -> Array:
    picture = _padded(x, pad)
    xp = namespace_of(g)
    gradient: Array = xp.zeros(picture.shape, g.dtype)
    is_open = xp.ones(out.shape, np.bool_)
    for place in _offsets(kernel, stride, out):
        is_largest = picture[place] == out
        is_largest &= is_open
        is_open ^= is_largest
        gradient[place] += g * is_largest
    height, width = x.shape[2:]
    return gradient[:, :, pad : pad + height, pad : pad + width]


@primitive(_max_pool2d_vjp)
def max_pool2d(x: Array, *, kernel: int, stride: int, pad: int = 0) -> Array:
    """Largest element of every `kernel` x `kernel` window; the first of equals has the gradient."""
    picture = _padded(x, pad)
    sizes = [(size - kernel) // stride + 1 for size in picture.shape[2:]]
    out: Array = namespace_of(x).empty((*x.shape[:2], *sizes), x.dtype)
    for number, place in enumerate(_offsets(kernel, stride, out)):
        if number == 0:
            np.copyto(out, picture[place])
        else:
            np.maximum(out, picture[place], out=out)
    return out
