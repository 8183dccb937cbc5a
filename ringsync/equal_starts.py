"""When ranks were last made alike, by whom they are: from then on updates are counted anew.

What is counted, and who makes ranks alike, is the matter of the floors above.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable


class EqualStarts:
    """The starts that the ranks of one world have had together; of this rank's main thread.

    Attributes:
        under_way: Whatever is in the midst of an exchange on this rank, which goes on as begun.
    """

    def __init__(self) -> None:
        """Begin with none."""
        # By ranks, of which there are as many sets as groups of unlike ranks.
        self._at_once: Counter[tuple[int, ...]] = Counter()
        self._later: Counter[tuple[int, ...]] = Counter()
        self.under_way: weakref.WeakSet[object] = weakref.WeakSet()

    def add(self, ranks: Iterable[int], *, is_under_way: bool) -> None:
        """Take note of a start.

        Args:
            ranks: That have been made alike, by their numbers in the world.
            is_under_way: One of them has a step under way, whatever the others have of it: the
                start is then that of the next step.
        """
        starts = self._later if is_under_way else self._at_once
        starts[tuple(ranks)] += 1

    def at_once(self, ranks: Iterable[int]) -> int:
        """Count starts.

        Args:
            ranks: Which have had them.

        Returns:
            How many came when no step was under way.
        """
        return self._at_once[tuple(ranks)]

    def later(self, ranks: Iterable[int]) -> int:
        """Count starts.

        Args:
            ranks: Which have had them.

        Returns:
            How many came in a step.
        """
        return self._later[tuple(ranks)]
