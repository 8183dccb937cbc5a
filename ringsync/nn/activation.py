"""Functions as modules, for those who like every layer to be one.

Not needed in a Sequential, which takes `relu` and `flatten` themselves.
"""

from __future__ import annotations

from ringsync.autograd import Tensor, flatten, relu
from ringsync.nn.module import Module


class ReLU(Module):
    """`relu` as a module.

    Example:
        >>> net = Sequential(Linear(64, 32), ReLU(), Linear(32, 10))
    """

    def forward(self, x: Tensor) -> Tensor:
        """Every element where positive, else 0."""
        return relu(x)

    def __repr__(self) -> str:
        """As it would be written."""
        return "ReLU()"


class Flatten(Module):
    """`flatten` as a module.

    Example:
        >>> net = Sequential(Conv2d(1, 6, 5), Flatten(), Linear(96, 10))
    """

    def forward(self, x: Tensor) -> Tensor:
        """One row per sample."""
        return flatten(x)

    def __repr__(self) -> str:
        """As it would be written."""
        return "Flatten()"
