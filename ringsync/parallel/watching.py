"""The learning library's parameters as the reducer sees them, and the tape's word passed on to it.

What is exchanged, and when, is the reducer's matter.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence

from ringsync.arrays import Array
from ringsync.autograd import Parameter, Tensor
from ringsync.errors import ConfigError
from ringsync.namespaces import device_of, to_device
from ringsync.parallel.device_space import DeviceSpace
from ringsync.parallel.layout import TensorSpec
from ringsync.parallel.reducer import GradientReducer
from ringsync.parallel.space import HOST, Space
from ringsync.runtime import Runtime, current, is_initialized


class Parameters:
    """Parameters as a `GradientSource`."""

    def __init__(self, parameters: list[Parameter]) -> None:
        """Keep the parameters.

        Args:
            parameters: In an order that is equal on all ranks.
        """
        self._parameters = parameters
        self._devices = [parameter.device for parameter in parameters]

    def specs(self) -> Sequence[TensorSpec]:
        """Describe the parameters.

        Returns:
            One each, in order.
        """
        return [
            TensorSpec(self._name_of(i), parameter.shape, parameter.dtype.name, parameter.device)
            for i, parameter in enumerate(self._parameters)
        ]

    def space(self, device: str) -> Space:
        """Say where gradients live.

        Args:
            device: Kind of device.

        Returns:
            Its space.

        Raises:
            ConfigError: CuPy cannot use a GPU here.
        """
        return HOST if device == "cpu" else DeviceSpace()

    def values(self) -> Iterator[Array]:
        """Give the parameters' values.

        Returns:
            The arrays themselves, in order; of what lies on a device, a copy.
        """
        return (to_device(parameter.data, "cpu") for parameter in self._parameters)

    def gradient(self, index: int) -> Array | None:
        """Give a parameter's gradient.

        Args:
            index: Which parameter.

        Returns:
            Whatever array holds it; None if there is none.

        Raises:
            ConfigError: It has not its parameter's shape, or lies elsewhere than the parameter did
                when it was wrapped.
        """
        parameter = self._parameters[index]
        gradient = parameter.grad
        if gradient is not None and gradient.shape != parameter.shape:
            raise ConfigError(
                f"[DistributedOptimizer] '{self._name_of(index)}': its gradient has shape "
                f"{gradient.shape}; {parameter.shape}, its own, is expected. Assign one like it."
            )
        if gradient is not None and device_of(gradient) != self._devices[index]:
            raise ConfigError(
                f"[DistributedOptimizer] '{self._name_of(index)}': its gradient lies on "
                f"{device_of(gradient)}, and it lay on {self._devices[index]} when it was wrapped. "
                "Wrap an optimizer after its network is on its device."
            )
        return gradient

    def adopt(self, index: int, gradient: Array | None) -> None:
        """Make an array a parameter's gradient.

        Args:
            index: Which parameter.
            gradient: The array; None forgets the gradient.
        """
        self._parameters[index].grad = gradient

    def is_elsewhere(self, index: int) -> bool:  # noqa: ARG002  it has one form only
        """Tell whether a gradient travels elsewhere.

        Args:
            index: Which parameter.

        Returns:
            False: all are arrays.
        """
        return False

    def is_converted(self, index: int) -> bool:  # noqa: ARG002  likewise
        """Tell whether a gradient had another form.

        Args:
            index: Which parameter.

        Returns:
            False: all are arrays.
        """
        return False

    def _name_of(self, index: int) -> str:
        return self._parameters[index].name or f"parameter {index}"


class Observer:
    """Passes what the tape says on to the reducer, parameters by index.

    It holds the reducer weakly: with its optimizer gone, or the engine ended, nobody watches.
    """

    def __init__(
        self, reducer: GradientReducer, parameters: list[Parameter], runtime: Runtime
    ) -> None:
        """Watch for a reducer.

        Args:
            reducer: Who is told.
            parameters: The reducer's, in its order.
            runtime: Whose engine the reducer uses.
        """
        self._reducer = weakref.ref(reducer)
        self._runtime = weakref.ref(runtime)
        self._index = {id(parameter): i for i, parameter in enumerate(parameters)}

    def live_reducer(self) -> GradientReducer | None:
        """Find out whether anybody watches.

        Returns:
            The reducer, while it lives and its engine runs.
        """
        is_current = is_initialized() and self._runtime() is current()
        return self._reducer() if is_current else None

    def backward_began(self) -> None:
        """Take note that a backward pass begins."""
        if reducer := self.live_reducer():
            reducer.began()

    def gradient_final(self, tensor: Tensor) -> None:
        """Take note that a gradient will not change in this pass.

        Args:
            tensor: The parameter whose gradient it is.
        """
        if reducer := self.live_reducer():
            reducer.final(self._index[id(tensor)])

    def backward_ended(self) -> None:
        """Take note that a backward pass ends."""
        if reducer := self.live_reducer():
            reducer.ended()


def check_unwatched(parameters: list[Parameter]) -> None:
    """Check that no other optimizer exchanges these gradients.

    Args:
        parameters: That are about to be watched.

    Raises:
        ConfigError: One of them is watched already.
    """
    for parameter in parameters:
        observer = parameter.observer
        if isinstance(observer, Observer) and observer.live_reducer() is not None:
            raise ConfigError(
                f"[DistributedOptimizer] '{parameter.name}' is watched by another "
                "DistributedOptimizer. Wrap each parameter's optimizer once."
            )
