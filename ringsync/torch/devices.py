"""What torch is asked of tensors on devices: where they lie, in which stream, and one of a result.

Nothing is copied. How a tensor comes to the engine, and back, is the matter of `tensors`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch


def kind_of(tensor: torch.Tensor) -> str:
    """Tell on what kind of device a tensor lies.

    Args:
        tensor: Any.

    Returns:
        Torch's word for it; "cpu" is the host's memory.
    """
    kind: str = tensor.device.type
    return kind


def current_stream(tensor: torch.Tensor) -> Any:
    """Tell whose work makes a tensor's values: torch computes in the stream that is current.

    Args:
        tensor: On a GPU.

    Returns:
        Torch's stream, of this thread and that GPU.
    """
    return torch.cuda.current_stream(tensor.device)


def wait_for(tensors: Iterable[torch.Tensor]) -> None:
    """Wait until the GPUs on which tensors lie have done all that they were given.

    Args:
        tensors: Any.
    """
    for device in {tensor.device for tensor in tensors if tensor.is_cuda}:
        torch.cuda.synchronize(device)


def keep_for_stream(tensor: torch.Tensor) -> torch.Tensor:
    """Keep memory that is freed from being used anew before the current stream is done with it.

    Torch knows of the stream that it was made for, in which a call was begun; its result may be
    taken in another.

    Args:
        tensor: Any.

    Returns:
        `tensor`.
    """
    if tensor.is_cuda:
        tensor.record_stream(current_stream(tensor))
    return tensor


def tensor_of(memory: Any, like: torch.Tensor) -> torch.Tensor:
    """View what a collective has made on a GPU as a tensor.

    Args:
        memory: Its result, with `__cuda_array_interface__`.
        like: What it was given: of the same dtype, on the same GPU.

    Returns:
        A tensor of that memory.
    """
    shape = memory.__cuda_array_interface__["shape"]
    if 0 in shape:  # it has no address, by which torch would look for its device
        return like.new_empty(shape)
    is_known = like.dtype is not torch.bfloat16
    shown = memory if is_known else _Bits(memory)
    tensor = torch.as_tensor(shown, device=like.device)
    return tensor if is_known else tensor.view(like.dtype)


class _Bits:
    """Memory of bfloat16, of which the protocol knows no more than the size, as integers."""

    def __init__(self, memory: Any) -> None:
        self.__cuda_array_interface__ = memory.__cuda_array_interface__ | {"typestr": "<i2"}
        self._memory = memory  # torch keeps what it is shown
