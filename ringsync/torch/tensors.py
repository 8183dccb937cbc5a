"""Tensors as the door for arrays takes them, and arrays as tensors again; nothing is copied.

What a collective copies, and why, is its own file's matter.
"""

from __future__ import annotations

from typing import Any

import torch

from ringsync.arrays import Array
from ringsync.device_arrays import DeviceArray
from ringsync.dtypes import BFLOAT16

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
            f"Tensor of layout {tensor.layout} is not supported; use to_dense() first, or "
            "sparse_allreduce_async() of sparse COO tensors."
        )
    return tensor


def as_array(tensor: torch.Tensor) -> object:
    """View a contiguous tensor as the door takes it.

    Args:
        tensor: What `check_tensor` has returned.

    Returns:
        A NumPy array of its memory, with its bits as uint16 where NumPy lacks the dtype; where it
        lies on a device no more than that, which all ranks are told.

    Raises:
        ValueError: It has no values.
    """
    if tensor.device.type != "cpu":
        if tensor.device.type == "meta":  # the door would take it for a sequence
            raise ValueError("Tensor on device meta is not supported: it has no values.")
        return DeviceArray(int(tensor.__dlpack_device__()[0]), tensor)
    tensor = tensor.detach()
    if tensor.dtype is not torch.bfloat16:
        return tensor.numpy()
    bits = tensor.view(torch.uint16).numpy()
    return bits.view(), BFLOAT16, bits


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
