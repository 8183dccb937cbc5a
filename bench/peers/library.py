"""What a rank asks of the library that it is measured with.

Every library is called as its users would call it from Python, with nothing between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class Library(Protocol):
    """One process's membership in a world of ranks that is already complete."""

    rank: int
    size: int

    def make_arrays(self, counts: Sequence[int]) -> list[Floats]:
        """Make arrays where this library's arrays lie.

        Args:
            counts: Number of elements of each.

        Returns:
            Zeros, already touched.
        """
        ...

    def allreduce(self, array: Floats) -> object:
        """Sum over all ranks, in place, and block until it is done.

        Args:
            array: This rank's values.
        """
        ...

    def barrier(self) -> object:
        """Block until every rank has called this."""
        ...


class Waitable(Protocol):
    """A sum that was begun."""

    def wait(self) -> object:
        """Block until it is done."""
        ...


class Asynchronous(Library, Protocol):
    """A library whose calls may return before they are done."""

    def allreduce_async(self, array: Floats) -> Waitable:
        """Begin a sum over all ranks, in place.

        Args:
            array: This rank's values.

        Returns:
            What is waited for.
        """
        ...


class Grouping(Library, Protocol):
    """A library that takes many arrays in one call."""

    def grouped_allreduce(self, arrays: Sequence[Floats]) -> object:
        """Sum each of them over all ranks, in place, and block until all are done.

        Args:
            arrays: This rank's values.
        """
        ...
