"""Arrays on devices, as their libraries describe them, and the one place that loads CuPy.

`__cuda_array_interface__` tells where an array lies and whose work makes it. CuPy, PyTorch and
Numba have it. Nothing here touches values; whether there is a way to such devices is the engine's
matter.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import operator
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ringsync.dtypes import BFLOAT16, NUMBERS, SUPPORTED_DTYPES
from ringsync.errors import ConfigError
from ringsync.words import error_in_line

# DLPack's number of the kind.
CUDA = 2

# What the protocol calls the default stream, which has no number of its own.
_DEFAULT_STREAM = 1

# Beyond every address.
_MOST = 2**64

_NAMES = {
    number: "bfloat16" if number == BFLOAT16 else np.dtype(text).name
    for text, number in NUMBERS.items()
}


@dataclass(frozen=True, slots=True)
class DeviceArray:
    """An array on a device.

    Attributes:
        device: DLPack's number of the device's kind.
        array: What the caller passed.
        is_described: All below is known; else ranks tell each other no more than the kind.
        address: Of the first element.
        dtype: The native core's number.
        shape: As the array has it.
        stream: Whose work so far makes the values; 0 is the device's default stream.
        is_read_only: It must not be written.
    """

    device: int
    array: object
    is_described: bool = False
    address: int = 0
    dtype: int = 0
    shape: tuple[int, ...] = (0,)
    stream: int = 0
    is_read_only: bool = False

    @property
    def dtype_name(self) -> str:
        """The dtype as NumPy calls it."""
        return _NAMES[self.dtype]


def describe(x: object, place: str) -> DeviceArray:
    """Read what a library tells of its array on a GPU.

    Args:
        x: The array.
        place: Name of the operation, for messages.

    Returns:
        Its description; of an array without `__cuda_array_interface__` no more than its kind.

    Raises:
        ConfigError: It has an unsupported dtype, strides, or a mask.
    """
    facts: Mapping[str, Any] | None = getattr(x, "__cuda_array_interface__", None)
    if not facts:
        return DeviceArray(CUDA, x)
    shape, text = tuple(map(operator.index, facts["shape"])), facts["typestr"]
    number = NUMBERS.get(text)
    if number is None or (number == BFLOAT16 and "bfloat16" not in str(getattr(x, "dtype", ""))):
        raise ConfigError(
            f"[{place}] dtype {text} is not supported; one of {', '.join(SUPPORTED_DTYPES)} is "
            "expected. Convert it with astype()."
        )
    if facts.get("mask") is not None:
        raise ConfigError(
            f"[{place}] {type(x).__name__!r} is no array that can be used, because masks do not "
            "travel. Pass its filled()."
        )
    if not _is_dense(shape, facts.get("strides"), int(text[2:])):
        raise ConfigError(
            f"[{place}] the {type(x).__name__} of shape {shape} has strides {facts['strides']}; a "
            "C-contiguous one is expected on a device. Pass a copy of it, as ascontiguousarray() "
            "makes one."
        )
    address, is_read_only = facts["data"]
    stream = facts.get("stream") or _DEFAULT_STREAM
    numbers = (operator.index(address or 0), operator.index(stream))
    if min(*numbers, *shape) < 0 or max(numbers) >= _MOST or math.prod(shape) >= _MOST // 8:
        raise ConfigError(
            f"[{place}] the {type(x).__name__} tells of address {address}, stream {stream} and "
            f"shape {shape}; such as exist are expected. Pass an array of CuPy or PyTorch."
        )
    return DeviceArray(
        CUDA,
        x,
        is_described=True,
        address=numbers[0],
        dtype=number,
        shape=shape,
        stream=0 if stream == _DEFAULT_STREAM else numbers[1],
        is_read_only=bool(is_read_only),
    )


def cannot_describe(x: object, place: str, error: Exception) -> ConfigError:
    """Tell that a library's own description of its array is no use.

    Args:
        x: The array.
        place: Name of the operation, for messages.
        error: What reading the description has raised.

    Returns:
        The error to raise.
    """
    return ConfigError(
        f"[{place}] {type(x).__name__!r} is on a device and has a __cuda_array_interface__ that "
        f"cannot be read ({error_in_line(error)}); its shape, typestr and data are expected. Pass "
        "an array of CuPy or PyTorch."
    )


def copy_of(array: DeviceArray, place: str) -> object:
    """Have an array's library copy it.

    Args:
        array: Described.
        place: Name of the operation, for messages.

    Returns:
        An array of the same library, on the same device.

    Raises:
        ConfigError: It has no method for that.
    """
    for word in ("copy", "clone"):  # CuPy's and PyTorch's
        copy = getattr(array.array, word, None)
        if callable(copy):
            return copy()
    raise ConfigError(
        f"[{place}] {type(array.array).__name__!r} on a device has no copy(), and this call leaves "
        "it as it is. Pass cupy.asarray(x), or reduce it in place."
    )


def from_device(memory: object, like: object) -> object:
    """Make an array of a result on a device.

    Args:
        memory: The result, with `__cuda_array_interface__`.
        like: The caller's array, of the same dtype.

    Returns:
        A CuPy array where `like` is one; else `memory`, of which any library makes an array.
    """
    cupy = loaded_cupy()
    kind = getattr(cupy, "ndarray", None)  # another thread may be loading it
    if cupy is None or kind is None or not isinstance(like, kind):
        return memory
    return cupy.asarray(memory).view(like.dtype)


def stream_of(stream: object) -> int:
    """Find a stream's address.

    Args:
        stream: CuPy's, PyTorch's, what else has `__cuda_stream__`, or the address itself.

    Returns:
        The address, as CUDA takes it; 0 for the default stream.

    Raises:
        ConfigError: It is none of these.
    """
    given: Any = None
    try:
        given = _told_by(stream)
        if not isinstance(given, bool):
            number = operator.index(given)
            if 0 <= number < _MOST:
                return 0 if number == _DEFAULT_STREAM else number
    except Exception as error:  # of an object of the caller's own, whatever it raises
        if given is not stream:  # else the message says it all
            raise _no_stream(stream, f" ({error_in_line(error)})") from error
    raise _no_stream(stream, "")


def _no_stream(stream: object, told: str) -> ConfigError:
    return ConfigError(
        f"[wait] {type(stream).__name__!r} is no stream{told}; one of CuPy or PyTorch, what has "
        "__cuda_stream__, or a stream's address is expected. Pass, for example, "
        "cupy.cuda.get_current_stream()."
    )


def _told_by(stream: object) -> object:
    """The address as the stream's own library tells it."""
    if hasattr(stream, "__cuda_stream__"):
        told: object = stream.__cuda_stream__()[1]  # behind the protocol's version
        return told
    # CuPy's word, PyTorch's, or the number itself
    return getattr(stream, "ptr", getattr(stream, "cuda_stream", stream))


def communicator_of(communicator: object) -> tuple[int, str]:
    """Find what the native core adopts of a communicator of CuPy's.

    Args:
        communicator: CuPy's `NcclCommunicator`.

    Returns:
        Its address, and the file of the extension that has made it.

    Raises:
        ConfigError: It is none, or has been destroyed.
    """
    kinds = (kind for kind in type(communicator).__mro__ if "comm" in vars(kind))
    module = sys.modules.get(kind.__module__) if (kind := next(kinds, None)) else None
    file = getattr(module, "__file__", None)
    try:
        address = getattr(communicator, "comm", None)
    except Exception as error:  # of an object of the caller's own, whatever it raises
        raise _no_communicator(communicator, f" ({error_in_line(error)})") from error
    if not isinstance(address, int) or not isinstance(file, str):
        raise _no_communicator(communicator)
    if not address:
        raise ConfigError(
            "[adopt_nccl] the communicator has been destroyed or aborted. Pass one that works."
        )
    return address, file


def _no_communicator(communicator: object, why: str = "") -> ConfigError:
    return ConfigError(
        f"[adopt_nccl] {type(communicator).__name__!r} is no communicator that can be adopted"
        f"{why}; CuPy's is expected. Pass a cupy.cuda.nccl.NcclCommunicator."
    )


def loaded_cupy() -> ModuleType | None:
    """Give CuPy, where the process has loaded it; who holds an array of CuPy's has.

    Returns:
        The module, or None.
    """
    return sys.modules.get("cupy")


def load_cupy(place: str) -> ModuleType:
    """Load CuPy for work on a GPU.

    Args:
        place: Name of the operation, for messages.

    Returns:
        The module.

    Raises:
        ConfigError: It is not installed, cannot be loaded, or finds no GPU.
    """
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:  # CuPy's own, of a library that it lacks, has many lines
        raise ConfigError(
            f"[{place}] 'cuda' needs CuPy, which cannot be loaded: {error_in_line(error)}. Install "
            "the package for this machine's CUDA, for example with pip install cupy-cuda13x."
        ) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except RuntimeError as error:  # what CUDA's errors are to CuPy
        raise _no_gpu(place, f" ({error_in_line(error)})") from error
    if not count:
        raise _no_gpu(place, "")
    return cupy


def _no_gpu(place: str, why: str) -> ConfigError:
    return ConfigError(
        f"[{place}] CuPy finds no GPU{why}; one is expected for 'cuda'. Run ringsync info, or stay "
        "on 'cpu'."
    )


def _is_dense(shape: tuple[int, ...], strides: tuple[int, ...] | None, item_bytes: int) -> bool:
    if strides is None or 0 in shape:
        return True
    expected = item_bytes
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length > 1 and stride != expected:
            return False
        expected *= length
    return True


def load_cupys_nccl() -> None:
    """Have CuPy load its copy of NCCL now, where CuPy is at work and has one."""
    if loaded_cupy() is not None:
        with contextlib.suppress(ImportError):
            importlib.import_module("cupy.cuda.nccl")
