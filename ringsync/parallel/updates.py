"""How many updates an optimizer has made: told with its gradients, which are then of one step.

Ranks of which one has left an update out, or made one more, are told so before their next gradients
are summed. What else they have to have in common `layout` compares, at the first step.
"""

from __future__ import annotations

from ringsync.group import ProcessGroup
from ringsync.runtime import current, is_initialized


class UpdateCount:
    """Counts updates since ranks were last made alike: by `init`, `join`, a broadcast or a load."""

    def __init__(self, group: ProcessGroup | None = None) -> None:
        """Begin with 0, as all ranks do.

        Args:
            group: Whose ranks make them; None: all.
        """
        self._group = group
        self._count = 0
        self._starts: list[object] = []

    def add(self) -> None:
        """Take note of an update."""
        if is_initialized():
            self._count = self.number() + 1

    def restart(self) -> None:
        """Begin with 0 again: a state has been loaded, on every rank or, which is told, on some."""
        self._count = 0

    def number(self) -> int:
        """Tell how many there are.

        Returns:
            The number, equal on ranks that have made the same updates.

        Raises:
            NotInitializedError: There are no ranks.
        """
        starts = current().common_starts
        own = [starts.get(group) for group in (None, self._group)]
        if own != self._starts:
            self._starts, self._count = own, 0
        return self._count
