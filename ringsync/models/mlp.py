"""Fully connected networks.

Not for pictures as they come: flatten them first, or begin with `nn.flatten`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ringsync.errors import ConfigError
from ringsync.nn import Linear, ReLU, Sequential
from ringsync.nn.module import Module


def mlp(sizes: Sequence[int], seed: int = 0) -> Sequential:
    """Linear layers with ReLU between them.

    Args:
        sizes: Width of the input, of every hidden layer, of the output.
        seed: Of the starting values; equal seeds, equal networks.

    Returns:
        A network from (n, sizes[0]) to (n, sizes[-1]).

    Raises:
        ConfigError: There are fewer than two sizes.

    Example:
        >>> net = mlp([784, 128, 10])
    """
    widths = list(sizes)
    if len(widths) < 2:  # noqa: PLR2004 - input and output
        raise ConfigError(f"[models] mlp({widths}); expected at least an input and an output size.")
    layers: list[Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [Linear(inputs, outputs), ReLU()]
    return Sequential(*layers[:-1]).initialize(seed)
