"""The fully connected layer.

Not an activation: Sequential puts one behind it.
"""

from __future__ import annotations

import numpy as np

from ringsync.autograd import Parameter, Tensor, TensorLike, apply, as_tensor
from ringsync.autograd.ops.linalg import linear as rule
from ringsync.errors import ConfigError, MismatchError
from ringsync.nn.init import he_uniform, starting_generator
from ringsync.nn.module import Module


def linear(x: TensorLike, weight: TensorLike, bias: TensorLike | None = None) -> Tensor:
    """`x @ weight.T + bias`.

    Args:
        x: (..., inputs).
        weight: (outputs, inputs), of `x`'s dtype.
        bias: (outputs,), or None.

    Returns:
        A tensor (..., outputs).

    Raises:
        MismatchError: Widths or dtypes differ.
    """
    x, weight = as_tensor(x), as_tensor(weight)
    if x.ndim == 0 or x.shape[-1] != weight.shape[-1]:
        raise MismatchError(
            f"[linear] input has shape {x.shape}, weight {weight.shape}; expected the last sizes to"
            " be equal. Flatten pictures first, and compare with the layer before."
        )
    if x.dtype != weight.dtype:
        raise MismatchError(
            f"[linear] input is {x.dtype}, weight {weight.dtype}; expected one dtype. Convert the"
            f" input with .astype({weight.dtype})."
        )
    return apply(rule, x, weight) if bias is None else apply(rule, x, weight, bias)


class Linear(Module):
    """A matrix product and a bias.

    Attributes:
        weight: (outputs, inputs); starts He-uniform.
        bias: (outputs,); starts at 0. None without bias.

    Example:
        >>> logits = Linear(84, 10)(features)        # (batch, 84) -> (batch, 10)
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True, seed: int = 0) -> None:
        """Draw the layer.

        Args:
            inputs: Width of the input.
            outputs: Width of the output.
            bias: Whether to add one.
            seed: Of the starting values. Layers of equal shape and seed start equal: give a whole
                network its values with `initialize`.

        Raises:
            ConfigError: A width is not positive.
        """
        if min(inputs, outputs) < 1:
            raise ConfigError(
                f"[linear] inputs={inputs}, outputs={outputs}; expected positive widths."
            )
        self.weight = Parameter(np.empty((outputs, inputs), np.float32))
        self.bias = Parameter(np.empty(outputs, np.float32)) if bias else None
        self.reset(starting_generator(seed, self.weight.shape))

    def reset(self, generator: np.random.Generator) -> None:
        """Draw the weight anew and set the bias to 0."""
        he_uniform(self.weight.data, self.weight.shape[1], generator)
        if self.bias is not None:
            self.bias.data.fill(0)

    def forward(self, x: Tensor) -> Tensor:
        """`linear` with this layer's parameters."""
        return linear(x, self.weight, self.bias)

    def __repr__(self) -> str:
        """As it would be written."""
        outputs, inputs = self.weight.shape
        return f"Linear({inputs}, {outputs}{'' if self.bias is not None else ', bias=False'})"
