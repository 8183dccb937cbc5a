"""What a framework's parameters have to tell so that their gradients can be exchanged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ringsync.arrays import Array
from ringsync.parallel.layout import TensorSpec
from ringsync.parallel.space import Place, Space


class GradientSource(Protocol):
    """How the reducer reaches a framework's parameters, by index."""

    def specs(self) -> Sequence[TensorSpec]:
        """Name, shape, dtype and device of each parameter, in registration order."""

    def space(self, device: str) -> Space:
        """Where gradients of parameters on `device` live; asked once for each dtype there."""

    def values(self) -> Iterable[Array]:
        """The parameters' values, on the host; each is let go of before the next is taken."""

    def gradient(self, index: int) -> Place | None:
        """The gradient as it stands; None when there is none this step."""

    def adopt(self, index: int, gradient: Place | None) -> None:
        """Make `gradient` the parameter's; None: it has none."""

    def is_elsewhere(self, index: int) -> bool:
        """Whether a parameter without a gradient here has one that its owner exchanges itself."""

    def is_converted(self, index: int) -> bool:
        """Whether the gradient had another form, which all ranks are to hear of."""
