"""Matrix products.

Not for convolution, which is a matrix product too but lives with its columns in conv.
"""

from __future__ import annotations

import numpy as np

from ringsync.autograd.ops.broadcast import unbroadcast
from ringsync.autograd.primitive import Array, primitive


def _as_matrices(g: Array, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """The three as matrices: vectors get back the axis of size 1 that matmul let them leave out."""
    if y.ndim == 1:
        y, g = y[:, None], g[..., None]
    if x.ndim == 1:
        x, g = x[None], np.expand_dims(g, -2)
    return g, x, y


def _left_vjp(g: Array, _out: Array, x: Array, y: Array) -> Array:
    gradient, left, right = _as_matrices(g, x, y)
    product = np.matmul(gradient, right.swapaxes(-1, -2))
    return unbroadcast(product, left.shape).reshape(x.shape)


def _right_vjp(g: Array, _out: Array, x: Array, y: Array) -> Array:
    gradient, left, right = _as_matrices(g, x, y)
    product = np.matmul(left.swapaxes(-1, -2), gradient)
    return unbroadcast(product, right.shape).reshape(y.shape)


def _rows(x: Array) -> Array:
    # One tall matrix is one fast product; a stack of matrices would be many small ones.
    return x.reshape(-1, x.shape[-1])


@primitive(_left_vjp, _right_vjp)
def matmul(x: Array, y: Array) -> Array:
    """Matrix product with NumPy's rules for vectors and stacks of matrices."""
    product: Array = np.matmul(x, y)
    return product


@primitive(
    lambda g, _out, x, weight, *_: (_rows(g) @ weight).reshape(x.shape),
    lambda g, _out, x, *_: _rows(g).T @ _rows(x),
    lambda g, *_: _rows(g).sum(axis=0),
)
def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """`x @ weight.T + bias` over the last axis of `x`; `weight` holds one row per output."""
    out = _rows(x) @ weight.T
    if bias is not None:
        out += bias
    return out.reshape(*x.shape[:-1], len(weight))
