"""Tensors as the door for arrays takes them, and arrays as tensors again; nothing is copied.

What a collective copies, and why, is its own file's matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ringsync.arrays import as_native
from ringsync.device_arrays import CUDA, DeviceArray
from ringsync.dtypes import BFLOAT16, NUMBERS
from ringsync.torch import devices

# What travels, and the native core's numbers for it.
_DTYPES = {
    torch.float16: NUMBERS["<f2"],
    torch.bfloat16: BFLOAT16,
    torch.float32: NUMBERS["<f4"],
    torch.float64: NUMBERS["<f8"],
    torch.uint8: NUMBERS["|u1"],
    torch.int8: NUMBERS["|i1"],
    torch.int16: NUMBERS["<i2"],
    torch.int32: NUMBERS["<i4"],
    torch.int64: NUMBERS["<i8"],
    torch.bool: NUMBERS["|b1"],
}


def check_tensor(tensor: object) -> torch.Tensor:
    """Check that something is a dense tensor of a dtype that travels.

    Args:
        tensor: As the caller gave it.

    Returns:
        `tensor`.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(tensor, torch.Tensor):
        raise ValueError(f"Tensor type {type(tensor).__name__} is not supported.")  # noqa: TRY004  Horovod's class
    if tensor.dtype not in _DTYPES:
        raise ValueError(f"Tensor type {tensor.type()} is not supported.")
    if tensor.layout is not torch.strided:
        raise ValueError(
            f"Tensor of layout {tensor.layout} is not supported; use to_dense() first, or "
            "sparse_allreduce_async() of sparse COO tensors."
        )
    return tensor


def as_array(tensor: torch.Tensor) -> object:
    """View a contiguous tensor as the door takes it.

    Args:
        tensor: What `check_tensor` has returned.

    Returns:
        A NumPy array of its memory, with its bits as uint16 where NumPy lacks the dtype; of what
        lies on a GPU its description, on another device no more than that, which all ranks are
        told.

    Raises:
        ValueError: It has no values.
    """
    kind = devices.kind_of(tensor)
    if kind != "cpu":
        return as_native(_described(tensor, kind))
    tensor = tensor.detach()
    if tensor.dtype is not torch.bfloat16:
        return tensor.numpy()
    bits = tensor.view(torch.uint16).numpy()
    return bits.view(), BFLOAT16, bits


def as_tensor(array: Any, like: torch.Tensor) -> torch.Tensor:
    """View what a collective has made as a tensor.

    Args:
        array: Its result.
        like: What it was given; the result has its dtype, and lies where it does.

    Returns:
        A tensor of the array's memory.
    """
    if not isinstance(array, np.ndarray):
        return devices.tensor_of(array, like)
    tensor = torch.from_numpy(array)
    return tensor if tensor.dtype is like.dtype else tensor.view(like.dtype)


def memory_of(tensor: torch.Tensor, factor: float = 1.0, *, is_copy: bool = False) -> torch.Tensor:
    """Give a tensor's values, multiplied, to a collective.

    ringsync would apply factors to the result. Horovod's users expect every rank's values to be
    rounded, and integers truncated, before they are added up.

    Args:
        tensor: What `check_tensor` has returned; any strides, of which others than contiguous ones
            cost a copy, because ranks may have unlike ones.
        factor: What values are multiplied by.
        is_copy: The collective overwrites them, and `tensor` is not to change.

    Returns:
        Contiguous; the tensor's own memory if that can be. No gradient flows through it.
    """
    tensor = tensor.detach()
    if factor == 1:
        return (
            tensor.clone(memory_format=torch.contiguous_format) if is_copy else tensor.contiguous()
        )
    narrow = tensor.dtype in {torch.float16, torch.bfloat16, torch.float32}
    wide = tensor.contiguous().to(torch.float32 if narrow else torch.float64)
    return (wide * factor).to(tensor.dtype)


def written(tensor: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """Write what a collective has left, unless it lies there already.

    Args:
        tensor: Overwritten.
        memory: What `memory_of` has returned for it.

    Returns:
        `tensor`.
    """
    if memory.data_ptr() != tensor.data_ptr():
        with torch.no_grad():
            tensor.copy_(memory)
    return tensor


def _described(tensor: torch.Tensor, kind: str) -> DeviceArray:
    """What the engine is told of a tensor on a device.

    A call, or a handle, is done once the streams that the engine has worked in have come to their
    end, and until then the engine keeps the tensor. So torch's allocator, which hands freed memory
    out again in the stream that it was made for, needs no `record_stream` for those.
    """
    if kind == "meta":  # the door would take it for a sequence
        raise ValueError("Tensor on device meta is not supported: it has no values.")
    if kind != "cuda" or torch.version.hip is not None:  # AMD's GPUs bear this name, too
        return DeviceArray(int(tensor.__dlpack_device__()[0]), tensor)
    return DeviceArray(
        CUDA,
        tensor,
        is_described=True,
        address=tensor.data_ptr(),
        dtype=_DTYPES[tensor.dtype],
        shape=tuple(tensor.shape),
        stream=devices.current_stream(tensor).cuda_stream,
    )


class _Unrecorded:
    """Autograd's context where it records nothing."""

    def mark_non_differentiable(self, *_: torch.Tensor) -> None:
        """Nothing is."""

    def save_for_backward(self, *_: torch.Tensor | None) -> None:
        """There is no way back."""


def through(function: type[torch.autograd.Function], *arguments: Any) -> Any:
    """Compute something through which gradients flow, where any is wanted.

    Args:
        function: What computes it, and its gradient.
        arguments: Its own.

    Returns:
        Its result.
    """
    is_wanted = torch.is_grad_enabled() and any(
        isinstance(one, torch.Tensor) and one.requires_grad for one in arguments
    )
    if not is_wanted:
        return function.forward(_Unrecorded(), *arguments)
    return function.apply(*arguments)  # type: ignore[no-untyped-call]  # torch's own
