"""How many updates an optimizer has made: told with its gradients, which are then of one step.

Ranks of which one has left an update out, or made one more, are told so at the next step. What else
they have to have in common `layout` compares, at the first step.
"""

from __future__ import annotations

import numpy as np

from ringsync.collectives import ReduceOp, allreduce
from ringsync.equal_starts import EqualStarts
from ringsync.group import ProcessGroup
from ringsync.runtime import current, is_initialized


def add_equal_start(group: ProcessGroup | None = None) -> None:
    """Have updates be counted anew: ranks have been made alike. Every rank of `group` does.

    A step of which one of them has begun the exchange keeps its number on all: it has sent that,
    and the others' part has to bear it, too.

    Args:
        group: Whose ranks; None: all.

    Raises:
        PeerLostError: A rank died.
        TimedOutError: Not complete in time.
    """
    starts = current().equal_starts
    told = np.array([bool(starts.under_way)], np.int32)
    name = "equal start: steps under way"
    is_under_way = bool(allreduce(told, op=ReduceOp.Sum, name=name, group=group)[0])
    starts.add(_ranks(group), is_under_way=is_under_way)


class UpdateCount:
    """Counts updates since ranks were last made alike: by `init`, `join`, a broadcast or a load."""

    def __init__(self, group: ProcessGroup | None = None) -> None:
        """Begin with 0, as all ranks do.

        Args:
            group: Whose ranks make them; None: all.
        """
        self._group = group
        self._count = 0
        self._starts: EqualStarts | None = None  # of the world in which it counts
        self._at_once: list[int] = []
        self._later: list[int] = []
        self._begun_with: int | None = None

    @property
    def begun_with(self) -> int | None:
        """The number of the step under way; None where there is none."""
        return self._begun_with

    def begin(self, number: int | None = None) -> int:
        """Fix the number of the step that begins, unless one is under way, until `end`.

        Args:
            number: That others have begun it with, who are only to be let go; None: its own.

        Returns:
            The number, equal on ranks that have made the same updates.

        Raises:
            NotInitializedError: There are no ranks.
        """
        self._follow()
        if self._begun_with is None:
            self._begun_with = self._count if number is None else number
        current().equal_starts.under_way.add(self)
        return self._begun_with

    def exchanged(self) -> None:
        """Take note that no rank waits for more of the step: its update may come, or not."""
        if is_initialized():
            current().equal_starts.under_way.discard(self)

    def add(self) -> None:
        """Take note of an update; the step that made it may be under way still."""
        if is_initialized():
            self._follow(is_in_step=False)
            self._count += 1

    def end(self) -> None:
        """Take note that no step is under way any more."""
        self._begun_with = None
        self.exchanged()
        if is_initialized():
            self._follow(is_in_step=False)

    def restart(self) -> None:
        """Begin with 0 again: a state has been loaded, on every rank or, which is told, on some."""
        self._count = 0

    def _follow(self, *, is_in_step: bool = True) -> None:
        """Begin with 0 again wherever all ranks do: after `init`, after a start of them all."""
        starts = current().equal_starts
        sets = [_ranks(None), _ranks(self._group)]
        at_once, later = [starts.at_once(s) for s in sets], [starts.later(s) for s in sets]
        if starts is not self._starts:
            self._starts, self._begun_with, self._count = starts, None, 0
            self._at_once, self._later = at_once, later
        if at_once != self._at_once:
            self._at_once, self._count = at_once, 0
        if later != self._later and not is_in_step:
            self._later, self._count = later, 0


def _ranks(group: ProcessGroup | None) -> tuple[int, ...]:
    return tuple(range(current().world.size)) if group is None else group.ranks
