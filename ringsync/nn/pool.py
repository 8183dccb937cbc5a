"""Pooling layers, on pictures (samples, channels, height, width).

Not reductions over whole pictures: those are methods of the tensor.
"""

from __future__ import annotations

from ringsync.autograd import Tensor, TensorLike, apply, as_tensor
from ringsync.autograd.ops.pool import max_pool2d as rule
from ringsync.errors import ConfigError, MismatchError
from ringsync.nn.module import Module

_AXES = 4


def max_pool2d(x: TensorLike, k: int, *, stride: int | None = None, pad: int = 0) -> Tensor:
    """Keep the largest pixel of every window.

    Args:
        x: (samples, channels, height, width).
        k: Height and width of the window.
        stride: Pixels between two windows; None means `k`, side by side.
        pad: Rows and columns around every picture that never win.

    Returns:
        A tensor (samples, channels, out, out), out = (size + 2 pad - k) // stride + 1; of equal
        pixels the first takes the gradient.

    Raises:
        MismatchError: `x` is not a stack of pictures, or smaller than the window.
    """
    x = as_tensor(x)
    if x.ndim != _AXES or min(x.shape[2:]) + 2 * pad < k:
        raise MismatchError(
            f"[max_pool2d] input has shape {x.shape}; expected (samples, channels, height, width),"
            f" with pad {pad} not smaller than the window of {k}."
        )
    return apply(rule, x, kernel=k, stride=k if stride is None else stride, pad=pad)


class MaxPool2d(Module):
    """The largest pixel of every window.

    Example:
        >>> MaxPool2d(2)(maps)        # (n, 6, 28, 28) -> (n, 6, 14, 14)
    """

    def __init__(self, k: int, stride: int | None = None, pad: int = 0) -> None:
        """Keep the sizes.

        Args:
            k: Height and width of the window.
            stride: Pixels between two windows; None means `k`.
            pad: Rows and columns around every picture that never win; at most half the window.

        Raises:
            ConfigError: A size is not positive, or a window could lie in the padding alone.
        """
        stride = k if stride is None else stride
        if min(k, stride) < 1 or not 0 <= 2 * pad <= k:
            raise ConfigError(
                f"[max_pool2d] k={k}, stride={stride}, pad={pad}; expected positive sizes and"
                " 0 <= pad <= k / 2."
            )
        self.k, self.stride, self.pad = k, stride, pad

    def forward(self, x: Tensor) -> Tensor:
        """`max_pool2d` with this layer's sizes."""
        return max_pool2d(x, self.k, stride=self.stride, pad=self.pad)

    def __repr__(self) -> str:
        """As it would be written."""
        return f"MaxPool2d({self.k}, stride={self.stride}, pad={self.pad})"
