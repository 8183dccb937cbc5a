"""Arrays of the types that kernels know, and their reference arithmetic in NumPy.

bfloat16 is held as uint16 bits, because NumPy has no such type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.device.abi import Dtype

Array = np.ndarray[Any, Any]

NUMPY: dict[Dtype, np.dtype[Any]] = {
    Dtype.INT32: np.dtype(np.int32),
    Dtype.INT64: np.dtype(np.int64),
    Dtype.FLOAT32: np.dtype(np.float32),
    Dtype.FLOAT64: np.dtype(np.float64),
    Dtype.FLOAT16: np.dtype(np.float16),
    Dtype.BFLOAT16: np.dtype(np.uint16),
}
INTEGERS = (Dtype.INT32, Dtype.INT64)
# What 16-bit floats are computed in.
_COMPUTED: dict[Dtype, np.dtype[Any]] = {
    Dtype.FLOAT16: np.dtype(np.float32),
    Dtype.BFLOAT16: np.dtype(np.float32),
}


def random_values(generator: np.random.Generator, dtype: Dtype, count: int) -> Array:
    """Draw values whose sums and products need rounding; integers over their whole range.

    Args:
        generator: Source.
        dtype: Type.
        count: How many.

    Returns:
        Values in memory form.
    """
    if dtype in INTEGERS:
        limits = np.iinfo(NUMPY[dtype])
        return generator.integers(limits.min, limits.max, count, NUMPY[dtype], endpoint=True)
    return narrowed(generator.standard_normal(count).astype(np.float32) * 8, dtype)


def widened(values: Array, dtype: Dtype) -> Array:
    """Values as kernels compute with them."""
    if dtype == Dtype.BFLOAT16:
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(_COMPUTED.get(dtype, NUMPY[dtype]))


def narrowed(values: Array, dtype: Dtype) -> Array:
    """Values rounded once, to nearest, ties to even."""
    if dtype == Dtype.BFLOAT16:
        bits = values.astype(np.float32).view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    with np.errstate(over="ignore"):
        return values.astype(NUMPY[dtype])


def moved(values: Array, source: Dtype, target: Dtype, scale: float) -> Array:
    """What a pack or an unpack makes of values: the product, exact in float64, rounded."""
    if source in INTEGERS:
        return values
    if target == Dtype.FLOAT64:
        return values * scale
    exact = widened(values, source).astype(np.float64) * float(np.float32(scale))
    return narrowed(exact.astype(np.float32), target)


def summed(arrays: Sequence[Array], dtype: Dtype, scale: float) -> Array:
    """What `sum_peers` makes of arrays, addition by addition."""
    total = widened(arrays[0], dtype)
    for array in arrays[1:]:
        total = total + widened(array, dtype)
    return narrowed(total if dtype in INTEGERS else total * total.dtype.type(scale), dtype)
