"""What a rank asks of the library that it is measured with.

Every library is called as its users would call it from Python, with nothing between.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class Library(Protocol):
    """One process's membership in a world of ranks that is already complete."""

    rank: int
    size: int

    def make_array(self, count: int) -> Floats:
        """Make an array where this library's arrays lie.

        Args:
            count: Number of elements.

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
