"""Operations on single elements, with NumPy's broadcasting.

Not for anything that mixes elements of one array: that is reduce, linalg or index.
"""

from __future__ import annotations

import numpy as np

from ringsync.autograd.ops.broadcast import unbroadcast
from ringsync.autograd.primitive import Array, primitive


@primitive(
    lambda g, _out, x, _y: unbroadcast(g, x.shape),
    lambda g, _out, _x, y: unbroadcast(g, y.shape),
)
def add(x: Array, y: Array) -> Array:
    """`x + y`."""
    return np.add(x, y)


@primitive(
    lambda g, _out, x, _y: unbroadcast(g, x.shape),
    lambda g, _out, _x, y: unbroadcast(-g, y.shape),
)
def sub(x: Array, y: Array) -> Array:
    """`x - y`."""
    return np.subtract(x, y)


@primitive(
    lambda g, _out, x, y: unbroadcast(g * y, x.shape),
    lambda g, _out, x, y: unbroadcast(g * x, y.shape),
)
def mul(x: Array, y: Array) -> Array:
    """`x * y`."""
    return np.multiply(x, y)


@primitive(
    lambda g, _out, x, y: unbroadcast(g / y, x.shape),
    lambda g, out, _x, y: unbroadcast(-g * out / y, y.shape),
)
def div(x: Array, y: Array) -> Array:
    """`x / y`."""
    return np.true_divide(x, y)


@primitive(lambda g, _out, _x: -g)
def neg(x: Array) -> Array:
    """`-x`."""
    return np.negative(x)


@primitive(lambda g, _out, x, *, exponent: g * (exponent * x ** (exponent - 1)))
def pow_(x: Array, *, exponent: float) -> Array:
    """`x` to a power that is a plain number, so that it keeps `x`'s dtype and needs no gradient."""
    return x**exponent


@primitive(lambda g, out, _x: g * out)
def exp(x: Array) -> Array:
    """`e` to the `x`."""
    return np.exp(x)


@primitive(lambda g, _out, x: g / x)
def log(x: Array) -> Array:
    """Natural logarithm."""
    return np.log(x)


@primitive(lambda g, out, _x: g * (1 - out * out))
def tanh(x: Array) -> Array:
    """Hyperbolic tangent."""
    return np.tanh(x)


# The output tells the sign as well as the input does. A product with the mask is 10 times faster
# than np.where here (0.3 ms against 3.5 ms for 0.8 million float32).
@primitive(lambda g, out, _x: g * (out > 0))
def relu(x: Array) -> Array:
    """`x` where positive, else 0, with slope 0 at 0; NaN stays NaN."""
    return np.maximum(x, 0)


@primitive(
    lambda g, _out, x, y: unbroadcast(g * (x >= y), x.shape),
    lambda g, _out, x, y: unbroadcast(g * (x < y), y.shape),
)
def maximum(x: Array, y: Array) -> Array:
    """The larger of two elements; of equal ones the first takes the gradient."""
    return np.maximum(x, y)
