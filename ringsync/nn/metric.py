"""Metrics: what a model is worth on a whole set, as a sum and a count.

Not a loss, and nothing of ranks: whoever has several sets of totals adds them and calls `value_of`.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from ringsync.autograd import Array, TensorLike, as_tensor
from ringsync.errors import MismatchError
from ringsync.nn.loss import check_labels


class Metric(Protocol):
    """A quotient of two totals that may be added over batches, shards and processes.

    Example:
        >>> accuracy = Accuracy()
        >>> for x, y in test.batches(256):
        ...     accuracy.update(net(x), y)
        >>> accuracy.value()
    """

    def update(self, output: TensorLike, labels: ArrayLike) -> None:
        """Add one batch.

        Args:
            output: What this metric looks at.
            labels: (samples,).
        """

    def totals(self) -> Array:
        """Give what has been added so far.

        Returns:
            A new float64 array (sum, count).
        """

    def value(self) -> float:
        """Compute the metric.

        Returns:
            The quotient, NaN before the first sample.
        """

    @staticmethod
    def value_of(totals: ArrayLike) -> float:
        """Compute the metric of totals that were added somewhere else.

        Args:
            totals: (sum, count).

        Returns:
            The quotient, NaN when the count is 0.
        """

    def reset(self) -> None:
        """Start again from nothing."""


class _Quotient:
    """Sum and count, and their quotient."""

    def __init__(self) -> None:
        self._totals = np.zeros(2, np.float64)

    def totals(self) -> Array:
        """A new float64 array (sum, count)."""
        return self._totals.copy()

    def value(self) -> float:
        """The quotient, NaN before the first sample."""
        return self.value_of(self._totals)

    @staticmethod
    def value_of(totals: ArrayLike) -> float:
        """The quotient of totals that were added somewhere else, NaN when the count is 0."""
        total, count = np.asarray(totals, np.float64)
        return float(total / count) if count else float("nan")

    def reset(self) -> None:
        """Start again from nothing."""
        self._totals.fill(0)

    def _add(self, total: float, count: int) -> None:
        self._totals += (total, count)


class Accuracy(_Quotient):
    """Share of samples whose largest logit is the label's.

    Example:
        >>> accuracy = Accuracy()
        >>> accuracy.update([[0.1, 0.9], [0.8, 0.2]], [1, 1])
        >>> accuracy.value()
        0.5
    """

    def update(self, output: ArrayLike | TensorLike, labels: ArrayLike) -> None:
        """Add one batch; an empty one changes nothing.

        Args:
            output: Logits (samples, classes).
            labels: (samples,), integers from 0 to classes - 1.

        Raises:
            MismatchError: Shapes do not fit, or a label is no class.
        """
        logits = as_tensor(output)
        classes = check_labels("accuracy", logits, labels)
        self._add(int((logits.data.argmax(axis=1) == classes).sum()), len(classes))


class MeanLoss(_Quotient):
    """Mean loss per sample over batches of any sizes; not the mean of the batches' means.

    Example:
        >>> mean_loss.update(loss, y)        # the loss of this batch, and its labels
    """

    def update(self, output: ArrayLike | TensorLike, labels: ArrayLike) -> None:
        """Add one batch; an empty one changes nothing.

        Args:
            output: The batch's mean loss, a scalar.
            labels: (samples,); only their number counts.

        Raises:
            MismatchError: The loss is no scalar.
        """
        loss = as_tensor(output)
        if loss.data.size != 1:
            raise MismatchError(
                f"[mean_loss] the loss has shape {loss.shape}; expected a scalar, the mean over the"
                " batch. Reduce it with .mean()."
            )
        count = len(as_tensor(labels).data)
        self._add(float(loss) * count if count else 0.0, count)
