"""Arrays in registered memory, for whoever wants collectives to copy nothing.

What such memory is and who sees it is the native core's matter; here it becomes NumPy arrays.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from ringsync._native import copy_past_caches as native_copy_past_caches
from ringsync.arrays import Array, as_native
from ringsync.errors import ConfigError
from ringsync.runtime import current
from ringsync.words import in_line

# More than any address space holds.
_MOST_BYTES = 2**56

# Sequences of integers, too, but nobody means a shape by them.
_BYTES = (bytes, bytearray, memoryview)


def empty(shape: SupportsIndex | Sequence[int], dtype: npt.DTypeLike = np.float32) -> Array:
    """Make an array in registered memory, which the ranks of this host see in place.

    Args:
        shape: Any shape.
        dtype: Any NumPy dtype of fixed size.

    Returns:
        A zeroed, C-contiguous array. Collectives on it copy nothing where all ranks pass such
        arrays. After one that has failed, ranks that are paused may still write to it.

    Raises:
        ConfigError: There is no such shape or dtype.
        NotInitializedError: Before `init`.
        RingsyncError: There is no room, or a rank that is stopped has taken none for a minute.

    Cost: One message to each other rank of the host per new block of 1 MiB or more; freed memory is
    handed out again.
    """
    engine = current().engine
    if isinstance(shape, _BYTES):
        raise _no_such(shape, dtype)
    try:
        many = shape.tolist() if isinstance(shape, np.ndarray) else shape
        lengths = tuple(many) if isinstance(many, Sequence) else (many,)
        dimensions = tuple(operator.index(length) for length in lengths)
        kind: np.dtype[Any] = np.dtype(dtype)
        np.broadcast_to(np.empty((), kind), dimensions)  # takes no memory
    except (TypeError, ValueError, OverflowError, SyntaxError):  # NumPy parses a dtype's text
        raise _no_such(shape, dtype) from None
    size_bytes = math.prod(dimensions) * kind.itemsize
    if size_bytes > _MOST_BYTES or kind.hasobject or kind.itemsize == 0 or kind.subdtype:
        raise _no_such(shape, dtype)
    raw = engine.allocate(size_bytes)
    return raw.view(kind).reshape(dimensions)


def copy_past_caches(target: Array, source: Array) -> None:
    """Copy an array to where nobody looks soon, and leave the caches alone.

    Args:
        target: Any shape and dtype of a collective, C-contiguous, writable; shares no memory with
            `source`.
        source: C-contiguous; as many elements of the same dtype.

    Raises:
        ConfigError: They differ, or cannot be used.

    Cost: Where `source` is still in the caches a third of NumPy's time.
    """
    native_copy_past_caches(as_native(target), as_native(source))


def _no_such(shape: object, dtype: object) -> ConfigError:
    return ConfigError(
        f"[empty] shape {in_line(shape)} of {in_line(dtype)} cannot be made; lengths from 0 and a "
        "dtype of fixed size are expected. Pass what numpy.empty takes."
    )
