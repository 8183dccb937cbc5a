"""Torch's parameters as the reducer sees them: gradients are views into its arena.

A view has its parameter's strides, so that an optimizer steps through both alike; the arena holds
every gradient in the order of the parameter's memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ringsync.arrays import Array
from ringsync.errors import ConfigError
from ringsync.parallel.layout import TensorSpec
from ringsync.parallel.space import HOST, Place, Space
from ringsync.torch import devices
from ringsync.torch.device_space import DeviceSpace
from ringsync.torch.memory_form import NAMES, inverse, memory_order


class Gradients:
    """Parameters as a `GradientSource`."""

    def __init__(self, parameters: Sequence[torch.Tensor], names: Sequence[str]) -> None:
        """Keep the parameters.

        Args:
            parameters: In an order that is equal on all ranks; each `fits_arena`.
            names: Theirs.

        Raises:
            ConfigError: They lie on several GPUs.
        """
        self._parameters = parameters
        self._names = names
        self._kinds = [devices.kind_of(parameter) for parameter in parameters]
        self._devices = [parameter.device for parameter in parameters]
        there = [index for index, kind in enumerate(self._kinds) if kind != "cpu"]
        self._check_one_device(there)
        space = DeviceSpace(parameters[there[0]]) if there else None
        self._there = [None if kind == "cpu" else space for kind in self._kinds]
        self._orders = [memory_order(parameter) for parameter in parameters]
        self._is_reordered = [order != sorted(order) for order in self._orders]
        self._dtypes = [parameter.dtype for parameter in parameters]
        self._shapes = [parameter.shape for parameter in parameters]
        self._views: list[torch.Tensor] = []
        self._arrays: list[Place] = []
        self._places: list[tuple[int, tuple[int, ...]]] = []  # address and strides of each view
        self._converted: set[int] = set()

    def place(self, views: Sequence[Place]) -> None:
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
                NAMES[dtype],
                kind,
            )
            for parameter, name, order, dtype, kind in zip(
                self._parameters, self._names, self._orders, self._dtypes, self._kinds, strict=True
            )
        ]

    def space(self, device: str) -> Space:
        """Say where gradients live.

        Args:
            device: Kind of device.

        Returns:
            Its space.
        """
        return self._there[self._kinds.index(device)] or HOST

    def values(self) -> Iterator[Array]:
        """Give the parameters' values on the host, one after the other.

        Returns:
            Views of their memory, in order; of a GPU's, copies.

        Raises:
            ConfigError: One has another dtype, shape or device by now.
        """
        for index, parameter in enumerate(self._parameters):
            self._check_unconverted(index, parameter, "it")
        return (
            _bits(parameter.detach().permute(order)).cpu().numpy()
            for parameter, order in zip(self._parameters, self._orders, strict=True)
        )

    def gradient(self, index: int) -> Place | None:
        """Give a parameter's gradient.

        Args:
            index: Which parameter.

        Returns:
            Its place in the arena, if it is there; else what its space takes; None if there is
            none, or a sparse one, which does not travel here.
        """
        gradient = self._parameters[index].grad
        there = self._there[index]
        if there is not None:
            there.follow()
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
        if there is not None:
            return gradient
        array: Array = _bits(gradient).numpy()
        return array.view(self._arrays[index].dtype)

    def adopt(self, index: int, gradient: Place | None) -> None:
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

    def is_zero(self, index: int) -> bool:
        """Tell whether a gradient's place in the arena holds nothing but zeros.

        Args:
            index: Which parameter.

        Returns:
            True if so.
        """
        return not self._make_view(index).any()

    def _is_in_place(self, index: int, gradient: torch.Tensor | None) -> bool:
        # `gradient.data = ...`, `set_` and conversions of a network leave the tensor what it is and
        # give it other memory.
        view = self._views[index]
        return gradient is view and _place_of(view) == self._places[index]

    def _check_unconverted(self, index: int, tensor: torch.Tensor, whose: str) -> None:
        place = self._devices[index]
        is_alike = tensor.dtype is self._dtypes[index] and tensor.shape == self._shapes[index]
        if is_alike and tensor.device == place:
            return
        is_moved = tensor.device != place
        raise ConfigError(
            f"[DistributedOptimizer] '{self._names[index]}': {whose} is {tensor.dtype} of shape "
            f"{tuple(tensor.shape)}{f' on {tensor.device}' * is_moved}, and it was "
            f"{self._dtypes[index]} of shape {tuple(self._shapes[index])}"
            f"{f' on {place}' * is_moved} when it was wrapped. Wrap an optimizer after its network "
            "is converted."
        )

    def _check_one_device(self, indices: Sequence[int]) -> None:
        for index in indices:
            first, other = (self._parameters[i].device for i in (indices[0], index))
            if other != first:
                raise ConfigError(
                    f"[DistributedOptimizer] '{self._names[index]}' lies on {other}, and "
                    f"'{self._names[indices[0]]}' on {first}; one GPU for each rank is expected. "
                    "Call torch.cuda.set_device(hvd.local_rank()) before the network is built."
                )

    def _make_view(self, index: int) -> torch.Tensor:
        order = inverse(self._orders[index])
        if self._there[index] is not None:
            # Or torch would take what is written to one gradient for a change of all.
            view: torch.Tensor = self._arrays[index].permute(order).data
            return view
        array, dtype = self._arrays[index], self._dtypes[index]
        # Of bfloat16 torch takes no more from NumPy than bits.
        bits = array.view(np.uint16) if dtype is torch.bfloat16 else array
        return torch.from_numpy(bits).view(dtype).permute(order)


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """What NumPy gets of a tensor: of bfloat16 its bits, else itself."""
    return tensor.view(torch.uint16) if tensor.dtype is torch.bfloat16 else tensor


def _place_of(tensor: torch.Tensor) -> tuple[int, tuple[int, ...]]:
    return tensor.data_ptr(), tensor.stride()
