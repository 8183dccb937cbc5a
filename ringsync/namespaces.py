"""NumPy or CuPy, whichever an array is of, and how arrays come from the host to a GPU and back.

Nothing of ranks, and nothing of how the engine sees a device's array: that is device_arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from ringsync.arrays import Array
from ringsync.device_arrays import load_cupy, loaded_cupy
from ringsync.errors import ConfigError, MismatchError
from ringsync.words import in_line

DEVICES = ("cpu", "cuda")

# A number that NumPy has computed of arrays without dimensions is no array, and lies there too.
_HOST = (np.ndarray, np.generic)


def is_array(value: object) -> TypeGuard[Array]:
    """Tell whether something is an array that lies somewhere already.

    Args:
        value: Anything.

    Returns:
        True for NumPy's arrays and CuPy's.
    """
    if isinstance(value, np.ndarray):
        return True
    # Another thread may be in the midst of loading it.
    return isinstance(value, getattr(loaded_cupy(), "ndarray", ()))


def as_array(
    value: npt.ArrayLike, dtype: npt.DTypeLike | None = None, *, like: Array | None = None
) -> Array:
    """Make an array of what is none yet.

    Args:
        value: An array, a number or a nested list.
        dtype: Of the result; None keeps it.
        like: Where what is no array goes to; None means the host.

    Returns:
        An array of NumPy or CuPy, `value` itself if it can be; arrays stay where they are.
    """
    if type(value) is np.ndarray and dtype is None:  # of most values, several times an operation
        return value
    if loaded_cupy() is None or isinstance(value, np.ndarray):
        return np.asarray(value, dtype)
    if is_array(value):
        return value if dtype is None else value.astype(dtype, copy=False)
    array: Array = (np if like is None else namespace_of(like)).asarray(value, dtype)
    return array


def namespace_of(array: Array) -> ModuleType:
    """Find the library that makes arrays like this one.

    NumPy's functions pass on CuPy's arrays by themselves; only what makes an array of none has to
    be asked of the library.

    Args:
        array: Of NumPy or CuPy.

    Returns:
        The module.
    """
    cupy = None if isinstance(array, _HOST) else loaded_cupy()
    return np if cupy is None else cupy


def device_of(array: object) -> str:
    """Name the kind of device on which an array lies.

    Args:
        array: Of NumPy or CuPy.

    Returns:
        One of `DEVICES`.
    """
    return "cpu" if isinstance(array, _HOST) else "cuda"


def check_device(device: str) -> None:
    """Check that arrays can be brought to a device.

    Args:
        device: One of `DEVICES`.

    Raises:
        ConfigError: There is no such device, or CuPy cannot use it.
    """
    if device not in DEVICES:
        raise ConfigError(
            f"[to] device {in_line(device)} is unknown; one of {', '.join(DEVICES)} is expected. "
            "Which GPU 'cuda' is, cupy.cuda.Device(number).use() says."
        )
    if device == "cuda":
        load_cupy("to")


def to_device(array: Array, device: str) -> Array:
    """Bring an array to a device.

    Args:
        array: Of NumPy or CuPy.
        device: One of `DEVICES`, as `check_device` accepts it.

    Returns:
        `array` itself if it lies there, else a copy: on the GPU that is CuPy's current one.
    """
    if device_of(array) == device:
        return array
    cupy: Any = loaded_cupy()
    convert: Callable[[Array], Array] = cupy.asarray if device == "cuda" else cupy.asnumpy
    return convert(array)


def beside(array: Array, other: Array) -> Array:
    """Bring an array to where another one lies.

    Args:
        array: Of NumPy or CuPy.
        other: Likewise.

    Returns:
        `array` itself if it lies there, else a copy.
    """
    return array if type(array) is type(other) else to_device(array, device_of(other))


def check_one_device(place: str, *arrays: Array) -> None:
    """Refuse arrays of which some lie on the host and some on a device.

    Whoever asks for every operation looks first whether types differ: no call is cheaper.

    Args:
        place: Who asks, for the message.
        *arrays: Of NumPy or CuPy.

    Raises:
        MismatchError: They do; the message names both.
    """
    first = arrays[0]
    for position, other in enumerate(arrays):
        if device_of(other) != device_of(first):
            raise MismatchError(
                f"[{place}] input 0 of shape {first.shape} lies on {device_of(first)}, input"
                f" {position} of shape {other.shape} on {device_of(other)}; expected one device."
                " Bring networks, data sets and tensors there with .to()."
            )
