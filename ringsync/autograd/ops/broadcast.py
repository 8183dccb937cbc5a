"""Undoing NumPy's broadcasting for gradients; for the families, not itself an operation.

Where an input was stretched over an axis, its gradient is the sum along that axis.
"""

from __future__ import annotations

from ringsync.autograd.primitive import Array


def unbroadcast(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sum `gradient` over the axes along which an input of `shape` was stretched."""
    if gradient.shape == shape:
        return gradient
    added = gradient.ndim - len(shape)
    if added:
        gradient = gradient.sum(axis=tuple(range(added)))
    stretched = tuple(
        axis for axis, size in enumerate(shape) if size == 1 and gradient.shape[axis] != 1
    )
    return gradient.sum(axis=stretched, keepdims=True) if stretched else gradient


def restore_axes(reduced: Array, ndim: int, axis: int | tuple[int, ...] | None) -> Array:
    """Give `reduced` back, with size 1, the axes that a reduction without `keepdims` took away."""
    if reduced.ndim == ndim:
        return reduced
    axes = range(ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    gone = {one % ndim for one in axes}
    sizes = iter(reduced.shape)
    return reduced.reshape([1 if one in gone else next(sizes) for one in range(ndim)])
