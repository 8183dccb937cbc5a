"""Networks made of layers in a row.

Not for branches: write a Module with a `forward` of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from ringsync.autograd import Parameter, Tensor
from ringsync.nn.module import Module

Layer: TypeAlias = Module | Callable[[Tensor], Tensor]


class Sequential(Module):
    """Layers in a row: modules, and plain functions from tensor to tensor.

    Parameters are named by position, "0.weight", functions counted.

    Example:
        >>> net = Sequential(Conv2d(1, 6, 5, pad=2), relu, flatten, Linear(384, 10)).initialize(1)
    """

    def __init__(self, *layers: Layer) -> None:
        """Keep the layers.

        Args:
            *layers: First to last.
        """
        self._layers = layers

    def parts(self) -> Iterator[tuple[str, Parameter | Module]]:
        """Find the modules among the layers.

        Yields:
            Position and module.
        """
        for position, layer in enumerate(self._layers):
            if isinstance(layer, Module):
                yield str(position), layer

    def forward(self, x: Tensor) -> Tensor:
        """Through all layers."""
        for layer in self._layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        """Number of layers."""
        return len(self._layers)

    def __iter__(self) -> Iterator[Layer]:
        """First to last."""
        return iter(self._layers)

    def __getitem__(self, position: int) -> Layer:
        """One layer."""
        return self._layers[position]

    def __repr__(self) -> str:
        """One line per layer with its number of parameters, and their sum."""
        lines = [f"  ({i}) {_describe(layer)}" for i, layer in enumerate(self._layers)]
        return "\n".join(["Sequential(", *lines, f"): {_count(self):,} parameters"])


def _describe(layer: Layer) -> str:
    if not isinstance(layer, Module):
        return getattr(layer, "__name__", repr(layer))
    text = repr(layer).replace("\n", "\n  ")
    count = 0 if isinstance(layer, Sequential) else _count(layer)
    return f"{text}: {count:,} parameters" if count else text


def _count(module: Module) -> int:
    return sum(one.data.size for one in module.parameters())
