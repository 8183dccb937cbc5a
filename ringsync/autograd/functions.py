"""Operations on tensors that are no operator or method.

Not layers: nothing here has parameters of its own. The rules behind are in ops.
"""

from __future__ import annotations

from numpy.typing import ArrayLike

from ringsync.autograd.ops import elementwise, index, shape
from ringsync.autograd.tensor import Tensor, TensorLike, apply


def exp(x: TensorLike) -> Tensor:
    """Exponential of every element.

    Args:
        x: Any shape, floating.

    Returns:
        A tensor of `x`'s shape.
    """
    return apply(elementwise.exp, x)


def log(x: TensorLike) -> Tensor:
    """Natural logarithm of every element.

    Args:
        x: Any shape, floating, positive.

    Returns:
        A tensor of `x`'s shape.
    """
    return apply(elementwise.log, x)


def tanh(x: TensorLike) -> Tensor:
    """Hyperbolic tangent of every element.

    Args:
        x: Any shape, floating.

    Returns:
        A tensor of `x`'s shape.
    """
    return apply(elementwise.tanh, x)


def relu(x: TensorLike) -> Tensor:
    """Every element where positive, else 0; usable as a layer.

    Args:
        x: Any shape.

    Returns:
        A tensor of `x`'s shape; the slope at 0 is 0.

    Example:
        >>> net = nn.Sequential(nn.Linear(64, 32), relu, nn.Linear(32, 10))
    """
    return apply(elementwise.relu, x)


def maximum(x: TensorLike, y: TensorLike | float) -> Tensor:
    """The larger of two elements, with broadcasting.

    Args:
        x: Any shape.
        y: A shape that broadcasts with `x`'s.

    Returns:
        A tensor of the common shape; of equal elements `x`'s takes the gradient.
    """
    return apply(elementwise.maximum, x, y)


def flatten(x: TensorLike) -> Tensor:
    """One row per sample: all axes after the first become one; usable as a layer.

    Args:
        x: (samples, ...).

    Returns:
        A tensor (samples, elements of one sample).
    """
    return apply(shape.flatten, x)


def take(x: TensorLike, indices: ArrayLike, *, axis: int = 0) -> Tensor:
    """Slices of `x` chosen along one axis; chosen twice, gradients add up.

    Args:
        x: Any shape.
        indices: Integers of any shape.
        axis: Along which to choose.

    Returns:
        A tensor with the shape of `indices` in place of `axis`.

    Example:
        >>> vectors = take(table, tokens)        # (batch, length) -> (batch, length, width)
    """
    return apply(index.take, x, indices, axis=axis)


def log_softmax(x: TensorLike, *, axis: int = -1) -> Tensor:
    """Logarithm of the softmax, without overflow.

    Args:
        x: Logits.
        axis: Along which probabilities sum to 1.

    Returns:
        A tensor of `x`'s shape.
    """
    return apply(index.log_softmax, x, axis=axis)
