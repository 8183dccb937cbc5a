"""Losses: scalars to be made small.

Not metrics, which are counted over a whole set and never differentiated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ringsync.autograd import Array, Tensor, TensorLike, apply, as_tensor
from ringsync.autograd.ops.index import cross_entropy as rule
from ringsync.errors import MismatchError
from ringsync.namespaces import as_array, check_one_device


def cross_entropy(logits: TensorLike, labels: ArrayLike) -> Tensor:
    """Mean negative log-likelihood of the right class; the softmax is inside, do not add one.

    Args:
        logits: (samples, classes), unbounded, floating.
        labels: (samples,), integers from 0 to classes - 1.

    Returns:
        A scalar tensor, the mean over the samples.

    Raises:
        MismatchError: Shapes do not fit, a label is no class, they lie on another device than
            `logits`, or there is no sample.

    Example:
        >>> loss = cross_entropy(net(x), y)
        >>> loss.backward()
    """
    logits = as_tensor(logits)
    classes = check_labels("cross_entropy", logits, labels)
    if not len(classes):
        raise MismatchError(
            "[cross_entropy] 0 samples have no mean. Skip empty batches, or make them larger than"
            " the number of shards."
        )
    return apply(rule, logits, classes)


def check_labels(place: str, logits: Tensor, labels: ArrayLike) -> Array:
    """Refuse labels that are not one class of `logits` per row.

    Args:
        place: Who asks, for the message.
        logits: (samples, classes).
        labels: (samples,), integers from 0 to classes - 1.

    Returns:
        The labels as an array, on the device of `logits`.

    Raises:
        MismatchError: Shapes do not fit, a label is no class, or they lie on another device.
    """
    given = labels.data if isinstance(labels, Tensor) else labels
    array = as_array(given, like=logits.data)
    if type(array) is not type(logits.data):
        check_one_device(place, logits.data, array)
    if logits.ndim != 2 or array.shape != logits.shape[:1]:  # noqa: PLR2004 - samples and classes
        raise MismatchError(
            f"[{place}] logits have shape {logits.shape}, labels {array.shape}; expected (samples,"
            " classes) and (samples,). One-hot labels become integers with .argmax(axis=1)."
        )
    if not np.issubdtype(array.dtype, np.integer):
        raise MismatchError(
            f"[{place}] labels are {array.dtype}; expected integers. Convert with .astype(int)."
        )
    classes = logits.shape[1]
    if array.size and not (array.min() >= 0 and array.max() < classes):
        raise MismatchError(
            f"[{place}] labels go from {array.min()} to {array.max()}; expected 0 to {classes - 1},"
            f" as the logits have {classes} classes. Give the last layer one output per class."
        )
    return array
