"""Tensors as the door for arrays takes them, and arrays as tensors again; nothing is copied.

What a collective copies, and why, is its own file's matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ringsync.arrays import Array

# The native core's number of what NumPy does not know.
_BFLOAT16 = 9

_DTYPES = frozenset({
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8, torch.int8,
    torch.int16, torch.int32, torch.int64, torch.bool,
})  # fmt: skip


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
            f"Tensor of layout {tensor.layout} is not supported; use sparse_allreduce_async()."
        )
    return tensor


def as_array(tensor: torch.Tensor) -> object:
    """View a contiguous tensor as the door takes it.

    Args:
        tensor: What `check_tensor` has returned.

    Returns:
        A NumPy array of its memory, with its bits as uint16 where NumPy lacks the dtype; the tensor
        itself where it lies on a device, for the door to tell of.
    """
    if tensor.device.type != "cpu":
        return tensor
    tensor = tensor.detach()
    if tensor.dtype is not torch.bfloat16:
        return tensor.numpy()
    bits = tensor.view(torch.uint16).numpy()
    return bits.view(), _BFLOAT16, bits


def as_tensor(array: Array, dtype: torch.dtype) -> torch.Tensor:
    """View what a collective has made as a tensor.

    Args:
        array: Its result.
        dtype: Of what it was given.

    Returns:
        A tensor of the array's memory.
    """
    tensor = torch.from_numpy(array)
    return tensor if tensor.dtype is dtype else tensor.view(dtype)


def copy_of(tensor: torch.Tensor) -> torch.Tensor:
    """Copy a tensor into contiguous memory of its own.

    Args:
        tensor: Any strides.

    Returns:
        The copy; no gradient flows through it.
    """
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def bytes_tensor(data: bytes) -> torch.Tensor:
    """Make a tensor of bytes.

    Args:
        data: Its values.

    Returns:
        A one-dimensional uint8 tensor.
    """
    return torch.from_numpy(np.frombuffer(data, np.uint8).copy())


def in_place(
    tensor: torch.Tensor, divisor: int = 1
) -> tuple[object, Callable[[Any], torch.Tensor]]:
    """Prepare a tensor to be overwritten by a collective.

    Args:
        tensor: What `check_tensor` has returned; any strides, of which others than contiguous ones
            cost two copies, because ranks may have unlike ones.
        divisor: What the result is divided by.

    Returns:
        It as the door takes it, and what makes the result of the collective's: the tensor itself.
    """
    if tensor.is_contiguous() and divisor == 1:
        return as_array(tensor), lambda _: tensor
    copy = tensor.detach() if tensor.is_contiguous() else copy_of(tensor)

    def write_back(_: Any) -> torch.Tensor:
        with torch.no_grad():
            if divisor != 1:
                copy.div_(divisor)
            return tensor if tensor.is_contiguous() else tensor.copy_(copy)

    return as_array(copy), write_back


def through(function: type[torch.autograd.Function], *arguments: Any) -> Any:
    """Compute something through which gradients flow.

    Args:
        function: What computes it, and its gradient.
        arguments: Its own.

    Returns:
        Its result.
    """
    return function.apply(*arguments)  # type: ignore[no-untyped-call]  # torch's own
