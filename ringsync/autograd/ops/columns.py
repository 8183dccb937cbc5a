"""The columns of a convolution, a few samples at a time, so that they never leave the L2 cache.

Not a convolution: conv.py multiplies them. A column holds what one output pixel sees; the matrix of
columns of a whole batch would be `kernel area` times the batch and would live in main memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ringsync.autograd.primitive import Array
from ringsync.namespaces import namespace_of

# Of the buffers of one group of samples. Measured on a core with 1 MiB of L2, LeNet's second layer:
# from 0.1 to 3 MiB the time is the same within noise, above it doubles. Small pictures gain from
# sharing the cost of a call.
_GROUP_BYTES = 768 * 1024
# A GPU has as much cache as a whole group of cores, and each group costs it some five launches: so
# few groups, of buffers that fit beside a network. Not measured.
_GROUP_BYTES_ON_DEVICE = 64 * 2**20
# Below this many rows a product per kernel row is too thin to run at speed: copy instead.
_FEWEST_ROWS = 16


@dataclass(frozen=True, slots=True)
class Window:
    """How a kernel is laid over a picture: sizes are (height, width)."""

    kernel: tuple[int, int]
    stride: int
    pad: tuple[int, int]

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """How many positions the kernel takes on a picture of `size`."""
        height, width = (
            (one + 2 * pad - kernel) // self.stride + 1
            for one, pad, kernel in zip(size, self.pad, self.kernel, strict=True)
        )
        return height, width


class Columns:
    """Columns of groups of samples, as stacks of matrices that BLAS takes without a copy.

    Each group comes as an array (samples, parts, rows, pixels); `arrange` brings a weight into the
    matching (parts, outputs, rows), and the convolution is the sum over `parts` of their products.
    With stride 1 a part is one kernel row and the matrices overlap in memory: shifting a picture by
    whole rows is an offset into the same strips, so only the shifts *within* a row are copied,
    kernel-width copies of the picture in place of kernel-area. Otherwise there is one part, copied.
    """

    def __init__(self, x: Array, window: Window, outputs: int) -> None:
        """Prepare buffers for `x` (samples, channels, height, width), to be used group by group."""
        count, channels, *size = x.shape
        height, width = window.kernel
        self._x, self._pad = x, window.pad
        self._padded_size = (size[0] + 2 * window.pad[0], size[1] + 2 * window.pad[1])
        out_height, out_width = window.output_size((size[0], size[1]))
        self._pixels = out_height * out_width
        self._is_shared = window.stride == 1 and channels * width >= _FEWEST_ROWS
        self.parts = height if self._is_shared else 1
        self.rows = channels * width * (height // self.parts)
        copied = channels * width * (self._padded_size[0] if self._is_shared else height)
        line = out_width if self._is_shared else self._pixels
        each = copied * line + self.parts * outputs * self._pixels
        xp = namespace_of(x)
        group_bytes = _GROUP_BYTES if xp is np else _GROUP_BYTES_ON_DEVICE
        self.samples = max(1, min(count, group_bytes // max(1, each * x.itemsize)))
        self._as_strided: Callable[..., Array] = xp.lib.stride_tricks.as_strided
        self._padded = xp.zeros((self.samples, channels, *self._padded_size), x.dtype)
        if self._is_shared:
            sizes: tuple[int, ...] = (channels, width, self._padded_size[0], out_width)
            self._windows = self._view(sizes, (0, 1, 3, 2, 3))
        else:
            sizes = (height, channels, width, out_height, out_width)
            self._windows = self._view(sizes, (0, 2, 1, 3, 2, 3), window.stride)
        self._copy: Array = xp.empty(self._windows.shape, x.dtype)
        self._matrices = self._as_matrices()

    def groups(self) -> Iterator[tuple[slice, Array]]:
        """Each group's slice of the samples and its columns, valid until the next group."""
        (top, left), (height, width) = self._pad, self._x.shape[2:]
        for first in range(0, len(self._x), self.samples):
            samples = slice(first, min(first + self.samples, len(self._x)))
            count = samples.stop - first
            inner = self._padded[:count, :, top : top + height, left : left + width]
            np.copyto(inner, self._x[samples])
            np.copyto(self._copy[:count], self._windows[:count])
            yield samples, self._matrices[:count]

    def arrange(self, weight: Array) -> Array:
        """`weight` (outputs, channels, height, width) as (parts, outputs, rows)."""
        axes = (2, 0, 1, 3) if self._is_shared else (0, 2, 1, 3)
        by_part: Array = namespace_of(weight).ascontiguousarray(weight.transpose(axes))
        return by_part.reshape(self.parts, len(weight), self.rows)

    def restore(self, arranged: Array, shape: tuple[int, ...]) -> Array:
        """The inverse of `arrange`, as an array of its own."""
        outputs, channels, height, width = shape
        if self._is_shared:
            by_part = arranged.reshape(height, outputs, channels, width).transpose(1, 2, 0, 3)
        else:
            by_part = arranged.reshape(outputs, height, channels, width).transpose(0, 2, 1, 3)
        return by_part.copy(order="C")

    def _view(self, sizes: tuple[int, ...], axes: tuple[int, ...], stride: int = 1) -> Array:
        """The padded pictures seen through `axes` of theirs; the last two step by `stride`."""
        strides = [self._padded.strides[axis] for axis in axes]
        strides[-2:] = [stride * one for one in strides[-2:]]
        return self._as_strided(self._padded, (self.samples, *sizes), strides)

    def _as_matrices(self) -> Array:
        if not self._is_shared:
            return self._copy.reshape(self.samples, 1, self.rows, self._pixels)
        samples, _, row, line, element = self._copy.strides
        shape = (self.samples, self.parts, self.rows, self._pixels)
        return self._as_strided(self._copy, shape, (samples, line, row, element))
