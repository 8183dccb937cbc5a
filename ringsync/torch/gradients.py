"""Torch's parameters as the reducer sees them: gradients are views into its arena.

A view has its parameter's strides, so that an optimizer steps through both alike; the arena holds
every gradient in the order of the parameter's memory.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Sequence

import numpy as np
import torch

from ringsync.arrays import Array
from ringsync.errors import ConfigError
from ringsync.parallel.layout import TensorSpec
from ringsync.parallel.space import HOST, Space

_NAMES = {
    torch.float16: "float16",
    torch.float32: "float32",
    torch.float64: "float64",
}
# One that is broken, as of another NumPy, is as good as none.
with contextlib.suppress(Exception):
    importlib.import_module("ml_dtypes")  # from here on NumPy knows the name
    _NAMES[torch.bfloat16] = "bfloat16"


def fits_arena(parameter: torch.Tensor) -> bool:
    """Tell whether a parameter's gradient can be a view into an arena.

    Args:
        parameter: Any.

    Returns:
        True for dense host memory without gaps, of a dtype that NumPy knows; bfloat16 it knows
        where ml_dtypes is installed.
    """
    return (
        parameter.device.type == "cpu"
        and parameter.layout is torch.strided
        and parameter.dtype in _NAMES
        and _is_dense(parameter)
    )


def has_gaps(parameter: torch.Tensor) -> bool:
    """Tell whether a parameter's gradient would be in an arena, had it no gaps.

    Args:
        parameter: Any.

    Returns:
        True for memory between whose elements there is other memory.
    """
    is_plain = parameter.layout is torch.strided and parameter.dtype in _NAMES
    return is_plain and not _is_dense(parameter)


class Gradients:
    """Parameters as a `GradientSource`."""

    def __init__(self, parameters: Sequence[torch.Tensor], names: Sequence[str]) -> None:
        """Keep the parameters.

        Args:
            parameters: In an order that is equal on all ranks; each `fits_arena`.
            names: Theirs.
        """
        self._parameters = parameters
        self._names = names
        self._orders = [_memory_order(parameter) for parameter in parameters]
        self._is_reordered = [order != sorted(order) for order in self._orders]
        self._dtypes = [parameter.dtype for parameter in parameters]
        self._shapes = [parameter.shape for parameter in parameters]
        self._views: list[torch.Tensor] = []
        self._arrays: list[Array] = []
        self._places: list[tuple[int, tuple[int, ...]]] = []  # address and strides of each view
        self._converted: set[int] = set()

    def place(self, views: Sequence[Array]) -> None:
        """Take note of where gradients live.

        Args:
            views: Memory of each gradient, by index.
        """
        self._arrays = list(views)
        self._views = [self._make_view(index) for index in range(len(views))]
        self._places = [_place_of(view) for view in self._views]

    def specs(self) -> Sequence[TensorSpec]:
        """Describe the parameters as their memory lies; where order matters, it is named.

        Returns:
            One each, in order.
        """
        return [
            TensorSpec(
                name if parameter.is_contiguous() else f"{name} with dimensions in order {order}",
                tuple(parameter.shape[i] for i in order),
                _NAMES[dtype],
            )
            for parameter, name, order, dtype in zip(
                self._parameters, self._names, self._orders, self._dtypes, strict=True
            )
        ]

    def space(self, device: str) -> Space:  # noqa: ARG002  all are on the host
        """Say where gradients live.

        Args:
            device: Kind of device.

        Returns:
            Its space.
        """
        return HOST

    def values(self) -> Sequence[Array]:
        """Give the parameters' values.

        Returns:
            Views of their memory, in order.

        Raises:
            ConfigError: One has another dtype or shape by now.
        """
        for index, parameter in enumerate(self._parameters):
            self._check_unconverted(index, parameter, "it")
        return [
            _bits(parameter.detach().permute(order)).numpy()
            for parameter, order in zip(self._parameters, self._orders, strict=True)
        ]

    def gradient(self, index: int) -> Array | None:
        """Give a parameter's gradient.

        Args:
            index: Which parameter.

        Returns:
            Its place in the arena, if it is there; else whatever array holds it; None if there is
            none, or a sparse one, which does not travel here.
        """
        gradient = self._parameters[index].grad
        if self._is_in_place(index, gradient):
            return self._arrays[index]
        if gradient is None or gradient.layout is not torch.strided:
            return None
        self._check_unconverted(index, gradient, "its gradient")
        # Asked in every hook: what is not needed would take 2 us more.
        if gradient.requires_grad:
            gradient = gradient.detach()
        if self._is_reordered[index]:
            gradient = gradient.permute(self._orders[index])
        array: Array = _bits(gradient).numpy()
        return array.view(self._arrays[index].dtype)

    def adopt(self, index: int, gradient: Array | None) -> None:
        """Make the arena's place a parameter's gradient.

        Args:
            index: Which parameter.
            gradient: Its place in the arena; None: nobody has a gradient.
        """
        parameter = self._parameters[index]
        present = parameter.grad
        if present is not None and present.layout is not torch.strided:
            return
        if gradient is not None and _place_of(self._views[index]) != self._places[index]:
            self._views[index] = self._make_view(index)  # a script has set the other one's data
        parameter.grad = None if gradient is None else self._views[index]

    def is_elsewhere(self, index: int) -> bool:
        """Tell whether a gradient is one that does not travel here.

        Args:
            index: Which parameter.

        Returns:
            True if it has a gradient that is not dense.
        """
        gradient = self._parameters[index].grad
        return gradient is not None and gradient.layout is not torch.strided

    def convert(self, index: int) -> None:
        """Take note that a gradient was sparse, and has been made dense for this step.

        Args:
            index: Which parameter.
        """
        self._converted.add(index)

    def is_converted(self, index: int) -> bool:
        """Tell whether a gradient was sparse in this step.

        Args:
            index: Which parameter.

        Returns:
            True if it has been made dense.
        """
        return index in self._converted

    def reset(self) -> None:
        """Begin a new step."""
        self._converted.clear()

    def is_dropped(self, index: int) -> bool:
        """Tell whether a gradient is another tensor than the last exchange left there, or none.

        Args:
            index: Which parameter.

        Returns:
            True once it was dropped; of what has other memory by now, False.
        """
        return self._parameters[index].grad is not self._views[index]

    def settle(self) -> None:
        """Give parameters what was exchanged where a script has replaced it meanwhile."""
        for index, parameter in enumerate(self._parameters):
            gradient = parameter.grad
            if gradient is not None and not self._is_in_place(index, gradient):
                self.adopt(index, self._arrays[index])

    def _is_in_place(self, index: int, gradient: torch.Tensor | None) -> bool:
        # `gradient.data = ...`, `set_` and conversions of a network leave the tensor what it is and
        # give it other memory.
        view = self._views[index]
        return gradient is view and _place_of(view) == self._places[index]

    def _check_unconverted(self, index: int, tensor: torch.Tensor, whose: str) -> None:
        if tensor.dtype is self._dtypes[index] and tensor.shape == self._shapes[index]:
            return
        raise ConfigError(
            f"[DistributedOptimizer] '{self._names[index]}': {whose} is {tensor.dtype} of shape "
            f"{tuple(tensor.shape)}, and it was {self._dtypes[index]} of shape "
            f"{tuple(self._shapes[index])} when it was wrapped. Wrap an optimizer after its "
            "network is converted."
        )

    def _make_view(self, index: int) -> torch.Tensor:
        array, dtype = self._arrays[index], self._dtypes[index]
        # Of bfloat16 torch takes no more from NumPy than bits.
        bits = array.view(np.uint16) if dtype is torch.bfloat16 else array
        return torch.from_numpy(bits).view(dtype).permute(_inverse(self._orders[index]))


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """What NumPy gets of a tensor: of bfloat16 its bits, else itself."""
    return tensor.view(torch.uint16) if tensor.dtype is torch.bfloat16 else tensor


def _place_of(tensor: torch.Tensor) -> tuple[int, tuple[int, ...]]:
    return tensor.data_ptr(), tensor.stride()


def _memory_order(parameter: torch.Tensor) -> list[int]:
    """Dimensions from the one of the longest stride on; of equal ones as they come."""
    if parameter.is_contiguous():  # whatever strides dimensions of one element have
        return list(range(parameter.dim()))
    strides = parameter.stride()
    return sorted(range(parameter.dim()), key=lambda i: (-strides[i], i))


def _inverse(order: Sequence[int]) -> list[int]:
    return sorted(range(len(order)), key=lambda i: order[i])


def _is_dense(parameter: torch.Tensor) -> bool:
    return parameter.permute(_memory_order(parameter)).is_contiguous()
