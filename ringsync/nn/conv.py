"""The convolutional layer, on pictures (samples, channels, height, width).

Not how a convolution is computed: that is ringsync.autograd.ops.conv.
"""

from __future__ import annotations

import numpy as np

from ringsync.autograd import Parameter, Tensor, TensorLike, apply, as_tensor
from ringsync.autograd.ops.conv import conv2d as rule
from ringsync.errors import ConfigError, MismatchError
from ringsync.nn.init import he_uniform, starting_generator
from ringsync.nn.module import Module

_AXES = 4


def conv2d(
    x: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    *,
    stride: int = 1,
    pad: int = 0,
) -> Tensor:
    """Slide a kernel over pictures (cross-correlation, as everywhere in deep learning).

    Args:
        x: (samples, channels, height, width).
        weight: (outputs, channels, kernel height, kernel width), of `x`'s dtype.
        bias: (outputs,), or None.
        stride: Pixels between two positions of the kernel.
        pad: Rows and columns of zeros around every picture.

    Returns:
        A tensor (samples, outputs, out, out), out = (size + 2 pad - kernel) // stride + 1.

    Raises:
        MismatchError: Channels or dtypes differ, or the kernel is larger than the picture.

    Cost: 2 * samples * outputs * pixels * channels * kernel area operations, the gradients twice
        that; with stride s the input's gradient costs s * s times the forward.
    """
    x, weight = as_tensor(x), as_tensor(weight)
    if x.ndim != _AXES or x.shape[1] != weight.shape[1]:
        raise MismatchError(
            f"[conv2d] input has shape {x.shape}, weight {weight.shape}; expected (samples,"
            f" {weight.shape[1]}, height, width). Reshape pictures of one channel to (n, 1, h, w)."
        )
    if x.dtype != weight.dtype:
        raise MismatchError(
            f"[conv2d] input is {x.dtype}, weight {weight.dtype}; expected one dtype. Convert the"
            f" input with .astype({weight.dtype})."
        )
    if any(size + 2 * pad < one for size, one in zip(x.shape[2:], weight.shape[2:], strict=True)):
        raise MismatchError(
            f"[conv2d] a kernel of {weight.shape[2:]} does not fit into pictures of {x.shape[2:]}"
            f" with pad {pad}. Take a larger pad or a smaller kernel."
        )
    inputs = (x, weight) if bias is None else (x, weight, bias)
    return apply(rule, *inputs, stride=stride, pad=pad)


class Conv2d(Module):
    """A square kernel slid over pictures, and a bias per output channel.

    Attributes:
        weight: (cout, cin, k, k); starts He-uniform.
        bias: (cout,); starts at 0. None without bias.

    Example:
        >>> maps = Conv2d(1, 6, 5, pad=2)(pictures)      # (n, 1, 28, 28) -> (n, 6, 28, 28)
    """

    def __init__(
        self,
        cin: int,
        cout: int,
        k: int,
        stride: int = 1,
        pad: int = 0,
        *,
        bias: bool = True,
        seed: int = 0,
    ) -> None:
        """Draw the layer.

        Args:
            cin: Channels of the input.
            cout: Channels of the output.
            k: Height and width of the kernel.
            stride: Pixels between two positions of the kernel.
            pad: Rows and columns of zeros around every picture.
            bias: Whether to add one.
            seed: Of the starting values. Layers of equal shape and seed start equal: give a whole
                network its values with `initialize`.

        Raises:
            ConfigError: A size is not positive, or `pad` is negative.
        """
        if min(cin, cout, k, stride) < 1 or pad < 0:
            raise ConfigError(
                f"[conv2d] cin={cin}, cout={cout}, k={k}, stride={stride}, pad={pad}; expected"
                " positive sizes and pad >= 0."
            )
        self.stride, self.pad = stride, pad
        self.weight = Parameter(np.empty((cout, cin, k, k), np.float32))
        self.bias = Parameter(np.empty(cout, np.float32)) if bias else None
        self.reset(starting_generator(seed, self.weight.shape))

    def reset(self, generator: np.random.Generator) -> None:
        """Draw the weight anew and set the bias to 0."""
        _, channels, height, width = self.weight.shape
        he_uniform(self.weight.data, channels * height * width, generator)
        if self.bias is not None:
            self.bias.data.fill(0)

    def forward(self, x: Tensor) -> Tensor:
        """`conv2d` with this layer's parameters."""
        return conv2d(x, self.weight, self.bias, stride=self.stride, pad=self.pad)

    def __repr__(self) -> str:
        """As it would be written."""
        outputs, channels, size, _ = self.weight.shape
        bias = "" if self.bias is not None else ", bias=False"
        return f"Conv2d({channels}, {outputs}, {size}, stride={self.stride}, pad={self.pad}{bias})"
