"""What a framework's parameters have to tell so that their gradients can be exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ringsync.arrays import Array
from ringsync.parallel.layout import TensorSpec


class GradientSource(Protocol):
    """How the reducer reaches a framework's parameters, by index."""

    def specs(self) -> Sequence[TensorSpec]:
        """Name, shape and dtype of each parameter, in registration order."""

    def values(self) -> Sequence[Array]:
        """The parameters' values."""

    def gradient(self, index: int) -> Array | None:
        """The gradient as it stands; None when there is none this step."""

    def adopt(self, index: int, gradient: Array | None) -> None:
        """Make `gradient` the parameter's; None: it has none."""

    def is_elsewhere(self, index: int) -> bool:
        """Whether a parameter without a gradient here has one that its owner exchanges itself."""

    def is_converted(self, index: int) -> bool:
        """Whether the gradient had another form, which all ranks are to hear of."""
