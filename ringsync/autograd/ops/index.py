"""Operations that choose elements, and the losses that are little else.

Not for reductions over whole axes. Where an element was chosen twice, its gradients add up.
"""

from __future__ import annotations

from types import EllipsisType
from typing import TypeAlias

import numpy as np

from ringsync.autograd.primitive import Array, primitive
from ringsync.namespaces import namespace_of

_OneIndex: TypeAlias = int | slice | EllipsisType | Array | list[int] | None
Index: TypeAlias = _OneIndex | tuple[_OneIndex, ...]


def _is_basic(index: Index) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None or part is Ellipsis or isinstance(part, int | slice | np.integer)
        for part in parts
    )


def _getitem_vjp(g: Array, _out: Array, x: Array, *, index: Index) -> Array:
    xp = namespace_of(g)
    gradient: Array = xp.zeros(x.shape, g.dtype)
    if _is_basic(index):
        gradient[index] = g
    else:
        xp.add.at(gradient, index, g)
    return gradient


def _take_vjp(g: Array, _out: Array, x: Array, indices: Array, *, axis: int = 0) -> Array:
    axis %= x.ndim
    xp = namespace_of(g)
    gradient: Array = xp.zeros(x.shape, g.dtype)
    # Seen with `axis` in front, where add.at takes plain indices.
    xp.add.at(np.moveaxis(gradient, axis, 0), indices, _chosen_first(g, indices.ndim, axis))
    return gradient


def _chosen_first(g: Array, ndim: int, axis: int) -> Array:
    return np.moveaxis(g, range(axis, axis + ndim), range(ndim))


def _log_softmax_vjp(g: Array, out: Array, _x: Array, *, axis: int = -1) -> Array:
    gradient: Array = g - np.exp(out) * g.sum(axis=axis, keepdims=True)
    return gradient


def _cross_entropy_vjp(g: Array, _out: Array, logits: Array, labels: Array) -> Array:
    gradient: Array = np.exp(logits - logits.max(axis=1, keepdims=True))
    gradient /= gradient.sum(axis=1, keepdims=True)
    gradient[namespace_of(labels).arange(len(labels)), labels] -= 1
    gradient *= g / len(labels)
    return gradient


@primitive(_getitem_vjp)
def getitem(x: Array, *, index: Index) -> Array:
    """`x[index]` with any index NumPy takes."""
    return x[index]


@primitive(_take_vjp, None)
def take(x: Array, indices: Array, *, axis: int = 0) -> Array:
    """Slices of `x` along `axis`, by an integer array of any shape (an embedding's look-up)."""
    size = x.shape[axis]
    # CuPy would go round at the end; NumPy raises by itself.
    if namespace_of(x) is not np and indices.size:
        least, most = int(indices.min()), int(indices.max())
        if least < -size or most >= size:
            raise IndexError(f"indices from {least} to {most} for axis {axis} with size {size}")
    return np.take(x, indices, axis=axis)


@primitive(_log_softmax_vjp)
def log_softmax(x: Array, *, axis: int = -1) -> Array:
    """Logarithm of the softmax; the largest element is taken out first, so nothing overflows."""
    shifted: Array = x - x.max(axis=axis, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return shifted


@primitive(_cross_entropy_vjp, None)
def cross_entropy(logits: Array, labels: Array) -> Array:
    """Mean over the rows of `logits` of minus the log-softmax at that row's label."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(shifted).sum(axis=1))
    chosen = shifted[namespace_of(labels).arange(len(labels)), labels]
    loss: Array = np.mean(total - chosen)
    return loss
