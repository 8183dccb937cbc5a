"""Two-dimensional convolution and its gradients, all three as products with a picture's columns.

Not for the columns themselves (columns) nor for pooling (pool). The gradient of the input is again
a convolution: of the output's gradient, its pixels `stride` apart, with the kernel turned around.
"""

from __future__ import annotations

import numpy as np

from ringsync.autograd.ops.columns import Columns, Window
from ringsync.autograd.primitive import Array, primitive
from ringsync.namespaces import namespace_of


def _correlate(x: Array, weight: Array, bias: Array | None, window: Window) -> Array:
    xp = namespace_of(x)
    columns = Columns(x, window, len(weight))
    matrices = columns.arrange(weight)
    out_size = window.output_size((x.shape[2], x.shape[3]))
    out: Array = xp.empty((len(x), len(weight), out_size[0] * out_size[1]), x.dtype)
    products = xp.empty((columns.samples, columns.parts, *out.shape[1:]), x.dtype)
    for samples, group in columns.groups():
        part = out[samples]
        if columns.parts == 1:
            np.matmul(matrices[0], group[:, 0], out=part)
        else:
            np.matmul(matrices, group, out=products[: len(part)])
            np.add.reduce(products[: len(part)], axis=1, out=part)
        if bias is not None:
            part += bias[:, None]
    return out.reshape(len(x), len(weight), *out_size)


def _input_vjp(
    g: Array, _out: Array, x: Array, weight: Array, *_: Array, stride: int = 1, pad: int = 0
) -> Array:
    kernel = weight.shape[2:]
    spread = g
    if stride > 1:
        # As wide as the input needs: positions the stride skipped at the end count as well.
        sizes = [size + 2 * pad - one + 1 for size, one in zip(x.shape[2:], kernel, strict=True)]
        spread = namespace_of(g).zeros((*g.shape[:2], *sizes), g.dtype)
        spread[:, :, ::stride, ::stride] = g
    # The padding may be wider than the kernel reaches: then the rim of `spread` saw padding only.
    rim = [max(0, pad - one + 1) for one in kernel]
    spread = spread[:, :, rim[0] : spread.shape[2] - rim[0], rim[1] : spread.shape[3] - rim[1]]
    border = (max(0, kernel[0] - 1 - pad), max(0, kernel[1] - 1 - pad))
    turned = weight[:, :, ::-1, ::-1].swapaxes(0, 1)
    return _correlate(spread, turned, None, Window(kernel, 1, border))


def _weight_vjp(
    g: Array, _out: Array, x: Array, weight: Array, *_: Array, stride: int = 1, pad: int = 0
) -> Array:
    outputs = len(weight)
    columns = Columns(x, Window(weight.shape[2:], stride, (pad, pad)), outputs)
    by_sample = g.reshape(len(g), 1, outputs, g.shape[2] * g.shape[3])
    total = namespace_of(g).zeros((columns.parts, outputs, columns.rows), g.dtype)
    for samples, group in columns.groups():
        total += np.matmul(by_sample[samples], group.swapaxes(-1, -2)).sum(axis=0)
    return columns.restore(total, weight.shape)


def _bias_vjp(g: Array, *_: object, **__: object) -> Array:
    gradient: Array = g.sum(axis=(2, 3)).sum(axis=0)
    return gradient


@primitive(_input_vjp, _weight_vjp, _bias_vjp)
def conv2d(
    x: Array, weight: Array, bias: Array | None = None, *, stride: int = 1, pad: int = 0
) -> Array:
    """Slide `weight` (outputs, channels, height, width) over `x` (samples, channels, h, w)."""
    return _correlate(x, weight, bias, Window(weight.shape[2:], stride, (pad, pad)))
