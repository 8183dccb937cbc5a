"""The form of a parameter's memory: whether its gradient can be a view into an arena, and which.

Where that arena lies, and what is done there, others know.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Sequence

import torch

from ringsync.torch import devices

# NumPy's names of what can live in an arena.
NAMES = {
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
    torch.float32: "float32",
    torch.float64: "float64",
}
# The same by kind of device.
_DTYPES = {"cpu": set(NAMES) - {torch.bfloat16}, "cuda": set(NAMES)}
# One that is broken, as of another NumPy, is as good as none.
with contextlib.suppress(Exception):
    importlib.import_module("ml_dtypes")  # from here on NumPy knows the name
    _DTYPES["cpu"].add(torch.bfloat16)


def fits_arena(parameter: torch.Tensor) -> bool:
    """Tell whether a parameter's gradient can be a view into an arena.

    Args:
        parameter: Any.

    Returns:
        True for dense memory without gaps, on the host or a GPU, of a dtype that can live there;
        bfloat16 can on the host where ml_dtypes is installed.
    """
    return _is_plain(parameter) and _is_dense(parameter)


def has_gaps(parameter: torch.Tensor) -> bool:
    """Tell whether a parameter's gradient would be in an arena, had it no gaps.

    Args:
        parameter: Any.

    Returns:
        True for memory between whose elements there is other memory.
    """
    return _is_plain(parameter) and not _is_dense(parameter)


def memory_order(tensor: torch.Tensor) -> list[int]:
    """List dimensions from the one of the longest stride on; of equal ones as they come.

    Args:
        tensor: Dense or with gaps.

    Returns:
        Their numbers.
    """
    if tensor.is_contiguous():  # whatever strides dimensions of one element have
        return list(range(tensor.dim()))
    strides = tensor.stride()
    return sorted(range(tensor.dim()), key=lambda i: (-strides[i], i))


def inverse(order: Sequence[int]) -> list[int]:
    """Find the order that undoes one.

    Args:
        order: Numbers of dimensions.

    Returns:
        What `permute` takes after it was given `order`.
    """
    return sorted(range(len(order)), key=lambda i: order[i])


def _is_dense(tensor: torch.Tensor) -> bool:
    return tensor.permute(memory_order(tensor)).is_contiguous()


def _is_plain(parameter: torch.Tensor) -> bool:
    dtypes = _DTYPES.get(devices.kind_of(parameter), ())
    return parameter.layout is torch.strided and parameter.dtype in dtypes
