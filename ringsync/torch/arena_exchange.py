"""Gradients in an arena that peers read in place; buckets of them travel during backward."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from ringsync.arrays import Array
from ringsync.collectives import ReduceOp
from ringsync.group import ProcessGroup
from ringsync.parallel.layout import TensorSpec
from ringsync.parallel.reducer import GradientReducer
from ringsync.parallel.updates import UpdateCount
from ringsync.torch.errors import told_to_horovod
from ringsync.torch.gradients import Gradients


class ArenaExchange:
    """Gradients are views into memory that peers read in place; buckets travel during backward."""

    def __init__(
        self,
        parameters: Sequence[torch.Tensor],
        names: Sequence[str],
        *,
        op: ReduceOp,
        bucket_bytes: int,
        name: str,
        group: ProcessGroup | None,
        updates: UpdateCount,
    ) -> None:
        """Lay out the memory.

        Args:
            parameters: In an order that is equal on all ranks.
            names: Theirs.
            op: Average or Sum.
            bucket_bytes: Most bytes in a bucket of more than one gradient.
            name: Of this set of parameters, equal on all ranks.
            group: Whose ranks exchange; None: all.
            updates: That ranks have made before, and compare.
        """
        self._gradients = Gradients(parameters, names)
        self._reducer = GradientReducer(
            self._gradients,
            op=op,
            bucket_bytes=bucket_bytes,
            accumulate_steps=1,
            name=name,
            group=group,
            is_checked=True,  # by the exchange, all parameters together
            updates=updates,
        )
        self._gradients.place(self._reducer.views)

    def convert(self, index: int) -> None:
        """Take note that a gradient was sparse, and has been made dense for this step.

        Args:
            index: Of the gradient.
        """
        self._gradients.convert(index)

    def final(self, index: int) -> None:
        """Start the buckets that are complete.

        Args:
            index: Of the gradient.
        """
        with told_to_horovod():
            self._reducer.final(index)

    def finish(self) -> None:
        """Start the rest, and wait."""
        with told_to_horovod():
            self._reducer.finish()
            self._gradients.settle()

    def specs(self) -> Sequence[TensorSpec]:
        """Describe the parameters as their memory lies.

        Returns:
            One each, in order.
        """
        return self._gradients.specs()

    def values(self) -> Iterator[Array]:
        """Give the parameters' values on the host, one after the other.

        Returns:
            Views of their memory, in order; of a GPU's, copies.

        Raises:
            ConfigError: One has another dtype, shape or device by now.
        """
        return self._gradients.values()

    @property
    def elsewhere(self) -> list[int]:
        """Indices of what is sparse on any rank, as of the last `finish`."""
        return self._reducer.elsewhere

    @property
    def converted(self) -> list[int]:
        """Indices of what was made dense on any rank, as of the last `finish`."""
        return self._reducer.converted

    def is_zero(self, index: int) -> bool:
        """Tell whether no rank brought more than zeros.

        Args:
            index: Of the gradient.

        Returns:
            True if so; after `finish`, alike on all ranks.
        """
        return self._gradients.is_zero(index)

    def end(self) -> None:
        """Bring to its end what an error has interrupted, be some of it submitted or nothing."""
        with told_to_horovod():
            self._reducer.end()

    def forget(self) -> None:
        """Begin a new step, whatever has become of the last."""
        self._reducer.forget()
        self._gradients.reset()

    def is_dropped(self, index: int) -> bool:
        """Tell whether a gradient is not what `finish` has left.

        Args:
            index: Of the gradient.

        Returns:
            True if it is another tensor, or none.
        """
        return self._gradients.is_dropped(index)
