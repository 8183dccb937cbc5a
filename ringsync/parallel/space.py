"""Where gradients live, and the little that their exchange does to them there.

Which gradients travel, and when, is the reducer's matter. A framework's `GradientSource` says which
spaces its parameters lie in; memory of the host is here.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np

from ringsync.memory import copy_past_caches, empty

Place: TypeAlias = Any
"""Memory as its space's library shows it: sliced, reshaped and asked for `nbytes` like NumPy's."""

# Smaller gradients are still in the caches when the engine sums them.
_STREAMED_BYTES = 256 * 1024


class Space(Protocol):
    """Memory of one kind. On a device all of this may be queued and nothing needs to be done."""

    def zeros(self, count: int, dtype: str) -> Place:
        """Make a flat array of zeros, which begins on a cache line."""

    def argument(self, memory: Place) -> object:
        """What a collective is given for a bucket, once all that goes into it has been queued."""

    def copy(self, view: Place, gradient: Place) -> None:
        """Copy a gradient to its place; both have one shape."""

    def scale(self, memory: Place, factor: float) -> None:
        """Multiply all values of some memory."""

    def clear(self, view: Place) -> None:
        """Overwrite a gradient with zeros."""

    def stream(self) -> object:
        """Where what uses gradients after their exchange is queued; None: it is done at once."""


class HostSpace:
    """Registered memory of the host, which peers read and write in place."""

    def zeros(self, count: int, dtype: str) -> Place:
        """Make a flat array of zeros.

        Args:
            count: Of elements.
            dtype: NumPy's name.

        Returns:
            The array.

        Raises:
            RingsyncError: There is no room.
        """
        return empty(count, dtype)

    def argument(self, memory: Place) -> object:
        """Give a bucket to a collective.

        Args:
            memory: The bucket's.

        Returns:
            `memory`.
        """
        return memory

    def copy(self, view: Place, gradient: Place) -> None:
        """Copy a gradient to its place.

        Args:
            view: Its place.
            gradient: Of the same shape.
        """
        is_alike = gradient.flags.c_contiguous and gradient.dtype == view.dtype
        if is_alike and view.nbytes >= _STREAMED_BYTES:
            copy_past_caches(view, gradient)
        else:
            np.copyto(view, gradient)

    def scale(self, memory: Place, factor: float) -> None:
        """Multiply values.

        Args:
            memory: Overwritten.
            factor: By which.
        """
        np.multiply(memory, factor, out=memory)

    def clear(self, view: Place) -> None:
        """Overwrite with zeros.

        Args:
            view: Overwritten.
        """
        view.fill(0)

    def stream(self) -> object:
        """Tell where work is queued.

        Returns:
            None: nothing is.
        """
        return None


HOST = HostSpace()
"""The one space of the host."""
