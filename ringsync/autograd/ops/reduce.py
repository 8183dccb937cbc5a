"""Reductions over all axes or some of them.

Not for fused losses (index) or pooling windows (pool).
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np

from ringsync.autograd.ops.broadcast import restore_axes
from ringsync.autograd.primitive import Array, primitive

Axis: TypeAlias = int | tuple[int, ...] | None


def _sum_vjp(g: Array, _out: Array, x: Array, *, axis: Axis = None, **_: object) -> Array:
    return np.broadcast_to(restore_axes(g, x.ndim, axis), x.shape)


def _mean_vjp(g: Array, out: Array, x: Array, *, axis: Axis = None, **_: object) -> Array:
    count = math.prod(x.shape) // max(1, math.prod(out.shape))
    return np.broadcast_to(restore_axes(g, x.ndim, axis) / count, x.shape)


def _max_vjp(g: Array, out: Array, x: Array, *, axis: Axis = None, **_: object) -> Array:
    is_largest = x == restore_axes(out, x.ndim, axis)
    count = is_largest.sum(axis=axis, keepdims=True, dtype=x.dtype)
    gradient: Array = restore_axes(g, x.ndim, axis) / count * is_largest
    return gradient


@primitive(_sum_vjp)
def sum_(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Sum; pairwise, as NumPy does."""
    return np.sum(x, axis=axis, keepdims=keepdims)


@primitive(_mean_vjp)
def mean(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Arithmetic mean."""
    out: Array = np.mean(x, axis=axis, keepdims=keepdims)
    return out


@primitive(_max_vjp)
def max_(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Largest element; equal ones share the gradient evenly."""
    out: Array = np.max(x, axis=axis, keepdims=keepdims)
    return out
