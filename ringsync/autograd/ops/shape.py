"""Operations that only rearrange: same elements, another shape.

Not for choosing elements (index). Forwards and gradients are views wherever NumPy can give one.
"""

from __future__ import annotations

import math

import numpy as np

from ringsync.autograd.primitive import Array, primitive


def _transpose_vjp(
    g: Array, _out: Array, _x: Array, *, axes: tuple[int, ...] | None = None
) -> Array:
    if axes is None:
        return np.transpose(g)
    return np.transpose(g, np.argsort([axis % g.ndim for axis in axes]).tolist())


@primitive(lambda g, _out, x, **_: g.reshape(x.shape))
def reshape(x: Array, *, shape: tuple[int, ...]) -> Array:
    """`x` in another shape; one size may be -1."""
    return np.reshape(x, shape)


@primitive(_transpose_vjp)
def transpose(x: Array, *, axes: tuple[int, ...] | None = None) -> Array:
    """`x` with its axes permuted; None reverses them."""
    return np.transpose(x, axes)


@primitive(lambda g, _out, x: g.reshape(x.shape))
def flatten(x: Array) -> Array:
    """One row per sample: all axes after the first become one."""
    return x.reshape(len(x), math.prod(x.shape[1:]))
