"""A network of torch's whose parameters have given shapes, and that computes in proportion to them.

It learns nothing of use: what matters is that backward hands out the gradients of a known model in
that model's order, with real arithmetic between one and the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt

import torch

from bench.shapes import Shape

_SEED = 7  # any, but all ranks' parameters are alike


def make_values(shapes: Sequence[Shape]) -> list[torch.Tensor]:
    """Make parameters' values under which activations stay as large as they are.

    Args:
        shapes: In the order in which forward uses them.

    Returns:
        Equal values on every rank.

    Source: He et al., ICCV 2015, doi:10.1109/ICCV.2015.123, equation 10; vectors begin with 0.
    """
    generator = torch.Generator().manual_seed(_SEED)
    return [
        torch.randn(shape, generator=generator) * sqrt(2 / prod(shape[1:]))
        if len(shape) > 1
        else torch.zeros(shape)
        for shape in shapes
    ]


class Chain(torch.nn.Module):
    """One layer per parameter, one after another.

    A parameter of two dimensions or more is the matrix (first, product of the rest) of a dense
    layer with ReLU, a kernel of a convolution too; a vector is added. Between layers of different
    width activations are repeated, or folded and added up, so that all that is computed depends on
    all parameters. Of a matrix of k elements and a batch of b samples forward computes 2bk
    floating-point operations and backward 4bk. ResNet-50's convolutions would use each element
    at many places of an image: there is less to hide an exchange behind here than there.
    """

    def __init__(self, values: Sequence[torch.Tensor]) -> None:
        """Make a layer for each value.

        Args:
            values: Of the parameters, which share their memory.
        """
        super().__init__()
        self.weights = torch.nn.ParameterList(torch.nn.Parameter(value) for value in values)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute.

        Args:
            x: A row per sample, of any width.

        Returns:
            A row per sample, as wide as the last parameter's first dimension.
        """
        for weight in self.weights:
            if weight.dim() > 1:
                matrix = weight.flatten(1)
                dense = torch.nn.functional.linear(_with_width(x, matrix.shape[1]), matrix)
                x = torch.nn.functional.relu(dense)
            else:
                x = _with_width(x, len(weight)) + weight
        return x


def _with_width(x: torch.Tensor, width: int) -> torch.Tensor:
    own = x.shape[1]
    if own == width:
        return x
    if own < width:
        return x.repeat(1, -(-width // own))[:, :width]
    folds = -(-own // width)
    padded = torch.nn.functional.pad(x, (0, folds * width - own))
    return padded.view(len(x), folds, width).sum(1) / sqrt(folds)
