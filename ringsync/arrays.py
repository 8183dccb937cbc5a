"""The one door for arrays: what a caller passes becomes a NumPy view that the native core reads.

Checks that every caller must get the same sentence for live here; nothing is copied here unless a
function says so. No other module looks at array protocols, but device_arrays for devices.
"""

from __future__ import annotations

import operator
from numbers import Number
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ringsync.device_arrays import CUDA, DeviceArray, cannot_describe, copy_of, describe
from ringsync.dtypes import BFLOAT16, SUPPORTED_DTYPES
from ringsync.errors import ConfigError

Array: TypeAlias = npt.NDArray[Any]

# Compared as objects, which also tells foreign byte orders apart: asking for a dtype's name takes
# NumPy 2 us, half of a small allreduce.
_SUPPORTED = frozenset(np.dtype(name) for name in SUPPORTED_DTYPES if name != "bfloat16")

# DLPack's device types of memory that the processor reads: its own, pinned and managed.
_HOST = frozenset({1, 3, 11, 13})


def as_view(x: object, place: str) -> Array | DeviceArray:
    """View `x` as a NumPy array of a supported dtype, without a copy.

    Args:
        x: A NumPy array, or any array with `__dlpack__`, a buffer or `__cuda_array_interface__`.
        place: Name of the operation, for messages.

    Returns:
        `x` itself, or a view of its memory; where it lies on a device, what says so.

    Raises:
        ConfigError: `x` is no array, has a mask, or has an unsupported dtype.
    """
    array = x if type(x) is np.ndarray else _import(x, place)
    if isinstance(array, DeviceArray):
        return array
    if array.dtype not in _SUPPORTED and not _is_bfloat16(array.dtype):
        raise ConfigError(
            f"[{place}] dtype {array.dtype} is not supported; one of "
            f"{', '.join(SUPPORTED_DTYPES)} is expected. Convert it with astype()."
        )
    return array


def as_target(x: object, place: str) -> Array | DeviceArray:
    """View `x` as an array that an operation may overwrite in place.

    Args:
        x: As for `as_view`; also writable and C-contiguous.
        place: Name of the operation, for messages.

    Returns:
        As for `as_view`.

    Raises:
        ConfigError: As for `as_view`, or `x` is read-only, unaligned or has strides.
    """
    array = as_view(x, place)
    if isinstance(array, DeviceArray):
        if not array.is_read_only:
            return array
        raise ConfigError(
            f"[{place}] the {type(x).__name__} of shape {array.shape} is read-only, and this call "
            "writes its result into it. Pass a copy."
        )
    if array.flags.carray:  # writable, aligned and C-contiguous: one question instead of three
        return array
    other = place.rstrip("_")  # returns its result; what is named without "_" has no such sibling
    if not array.flags.writeable:
        # An exporter of DLPack before 1.0 cannot say that its memory may be written.
        raise ConfigError(
            f"[{place}] the {type(x).__name__} of shape {array.shape} is read-only, and this call "
            "writes its result into it. Pass a writable NumPy array"
            + ("." if other == place else f", or use {other}().")
        )
    if not array.flags.aligned:
        raise ConfigError(
            f"[{place}] the array of shape {array.shape} does not lie on a multiple of its item "
            "size. Pass a copy."
        )
    raise ConfigError(
        f"[{place}] the array of shape {array.shape} has strides {array.strides}; a "
        "C-contiguous one is expected. "
        + ("Pass one." if other == place else f"Use {other}(), which returns its result.")
    )


def as_source(x: object, place: str) -> Array | DeviceArray:
    """View `x` as an array that an operation only reads; a copy is made only of strided memory.

    Args:
        x: As for `as_view`.
        place: Name of the operation, for messages.

    Returns:
        A C-contiguous array; where `x` lies on a device, what says so.

    Raises:
        ConfigError: As for `as_view`.
    """
    array = as_view(x, place)
    if isinstance(array, DeviceArray) or (array.flags.c_contiguous and array.flags.aligned):
        return array
    return array.copy(order="C")


def as_copy(x: object, place: str) -> Array | DeviceArray:
    """Copy an array for an operation that overwrites it in place.

    Args:
        x: As for `as_view`.
        place: Name of the operation, for messages.

    Returns:
        A C-contiguous array of its own memory; where `x` lies on a device, a copy that its library
        makes there.

    Raises:
        ConfigError: As for `as_view`, or the library of a device's array does not copy it.
    """
    array = as_view(x, place)
    if not isinstance(array, DeviceArray):
        return array.copy(order="C")
    return as_target(copy_of(array, place), place) if array.is_described else array


def as_native(
    array: Array | DeviceArray,
) -> Array | tuple[Array, int, Array] | tuple[None, int | tuple[object, ...], object]:
    """View an array of a supported dtype as the native core takes it.

    Args:
        array: What `as_view` and its like have returned.

    Returns:
        `array`; or a view of its bits, the number of the dtype they are of, and `array`; or None,
        what is known of an array on a device, and that array.
    """
    if isinstance(array, DeviceArray):
        facts = (array.device, array.address, array.dtype, list(array.shape), array.stream)
        return None, facts if array.is_described else array.device, array.array
    # Of all supported dtypes only bfloat16 is of a kind that NumPy does not know.
    if array.dtype.kind != "V":
        return array
    return array.view(np.uint16), BFLOAT16, array


def _is_bfloat16(dtype: np.dtype[Any]) -> bool:
    # Known by its name: it is ml_dtypes' type, which is not needed here and exports neither DLPack
    # nor a buffer.
    return dtype.kind == "V" and dtype.name == "bfloat16" and dtype.isnative


def _import(x: object, place: str) -> Array | DeviceArray:
    if isinstance(x, DeviceArray):
        return x
    if isinstance(x, np.ma.MaskedArray):
        raise ConfigError(
            f"[{place}] {type(x).__name__!r} is no array that can be used, because masks do not "
            "travel. Pass its filled()."
        )
    if isinstance(x, np.ndarray):
        return x.view(np.ndarray)
    device = None
    try:
        if (device := _device_of(x)) is not None:
            return describe(x, place) if device == CUDA else DeviceArray(device, x)
        if hasattr(x, "__dlpack__"):
            return np.from_dlpack(x)
        return np.asarray(_memory_of(x, place))
    except (
        TypeError, BufferError, RuntimeError, ValueError, LookupError, AttributeError, OverflowError
    ) as error:  # fmt: skip
        if isinstance(error, ConfigError):
            raise
        if device == CUDA:
            raise cannot_describe(x, place, error) from error
        raise _no_array(x, place, f" ({error})") from None


def _memory_of(x: object, place: str) -> memoryview:
    try:
        return memoryview(x)  # type: ignore[arg-type]  # the test is the attempt
    except TypeError:  # it exports none, which is all there is to say
        raise _no_array(x, place) from None


def _no_array(x: object, place: str, why: str = "") -> ConfigError:
    way_out = f"np.array([{x!r}])" if isinstance(x, Number) else "np.asarray(x)"
    return ConfigError(
        f"[{place}] {type(x).__name__!r} is no array that can be used{why}; a NumPy array, or one "
        f"with __dlpack__ or a buffer, is expected. Pass, for example, {way_out}."
    )


def _device_of(x: object) -> int | None:
    # PyTorch's tensors that want gradients raise where they are asked for their interface.
    if hasattr(x, "__dlpack_device__"):
        device = operator.index(x.__dlpack_device__()[0])
        if device not in _HOST:
            return device
    return CUDA if hasattr(x, "__cuda_array_interface__") else None
