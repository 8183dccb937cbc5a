"""A group as its ranks hold it: who is in it, and whether it can be used. It is made elsewhere."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import NoReturn, SupportsIndex

from ringsync._native import ProcessGroup as NativeGroup
from ringsync.errors import ConfigError, NotInitializedError
from ringsync.runtime import Runtime, current
from ringsync.words import in_line

# The number of the group of all ranks.
_WORLD = 0


class ProcessGroup(NativeGroup):
    """Some of the ranks, for the `group=` of collectives; `new_group` makes it.

    Groups go on independently: one that waits for a rank holds up no other. Names, and the numbers
    of calls without a name, are each group's own. It takes 4 MiB of shared memory on each of its
    ranks until it is closed, or the engine ends.
    """

    __slots__ = ("_is_closed", "_ranks", "_runtime")

    def __init__(self, runtime: Runtime, number: int | None, ranks: tuple[int, ...]) -> None:
        """Name a group that has been made.

        Args:
            runtime: Whose ranks they are.
            number: By which this rank's engine knows it; None where this rank is not in it.
            ranks: In ascending order.
        """
        super().__init__(runtime.engine, number)
        self._runtime = weakref.ref(runtime)
        self._ranks = ranks
        self._is_closed = False

    @property
    def ranks(self) -> tuple[int, ...]:
        """Its ranks, by their numbers in the world, in ascending order."""
        return self._ranks

    def rank(self) -> int:
        """Return this rank's place among the ranks of the group.

        Returns:
            0 <= rank < size(); `ranks[rank()]` is the rank's number in the world.

        Raises:
            ConfigError: This rank is not in the group.
            NotInitializedError: The group's engine has been shut down.
        """
        return self._ranks.index(self._member("rank"))

    def size(self) -> int:
        """Return the number of its ranks.

        Returns:
            At least 1.
        """
        return len(self._ranks)

    def close(self) -> None:
        """Let go of what the group takes on this rank.

        Each rank closes it for itself and waits for nobody. A rank that still calls something in
        the group that needs this one gets a MismatchError.

        Raises:
            ConfigError: Operations are in flight in it, or it is closed already.
            NotInitializedError: The group's engine has been shut down, or this is a forked child.
        """
        rank = self._runtime_now("close").world.rank
        self._require_open("close")
        if rank in self._ranks:
            self._close()
        self._is_closed = True

    def __repr__(self) -> str:
        """Name its ranks."""
        return f"group {text_of(self._ranks)}"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be copied: the engine of another process does not know it.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            f"[new_group] {self} cannot be copied or pickled. Pass its ranks, and call new_group "
            "there."
        )

    def _number_at(self, place: str) -> int:
        self._member(place)
        self._require_open(place)
        number = self._number_in(current().engine)
        if number is None:  # closed on another thread meanwhile
            raise self._closed(place)
        return number

    def _member(self, place: str) -> int:
        rank = self._runtime_now(place).world.rank
        if rank not in self._ranks:
            raise ConfigError(
                f"[{place}] rank {rank} is not in {self}; its ranks alone make this call. Ask "
                "rs.rank() in group.ranks first."
            )
        return rank

    def _runtime_now(self, place: str) -> Runtime:
        runtime = current()
        if self._runtime() is not runtime:
            raise NotInitializedError(
                f"[{place}] {self} is of an engine that has been shut down. Make a new one after "
                "init()."
            )
        return runtime

    def _require_open(self, place: str) -> None:
        if self._is_closed:
            raise self._closed(place)

    def _closed(self, place: str) -> ConfigError:
        return ConfigError(f"[{place}] {self} has been closed. Close it once, after its last call.")


def text_of(ranks: Iterable[int]) -> str:
    """Write ranks as messages do.

    Args:
        ranks: Their numbers.

    Returns:
        For example, "{0, 1}".
    """
    return "{" + ", ".join(map(str, ranks)) + "}"


def number_of(place: str, group: ProcessGroup | None) -> int:
    """Find the number by which the engine knows a group.

    Args:
        place: The public function's name, for messages.
        group: As the caller gave it; None means all ranks.

    Returns:
        Its number.

    Raises:
        ConfigError: It is no group, or is closed, or this rank is not in it.
        NotInitializedError: Its engine has been shut down.
    """
    if group is None:
        return _WORLD
    if not isinstance(group, ProcessGroup):
        raise ConfigError(
            f"[{place}] group={in_line(group)} is no ProcessGroup. Pass what new_group returned, "
            "or None for all ranks."
        )
    return group._number_at(place)


def ranks_of(place: str, group: ProcessGroup | None) -> Sequence[int]:
    """List the ranks that take part.

    Args:
        place: As for `number_of`.
        group: As for `number_of`.

    Returns:
        Their numbers in the world.

    Raises:
        ConfigError: As for `number_of`.
        NotInitializedError: As for `number_of`.
    """
    number_of(place, group)
    return range(current().world.size) if group is None else group.ranks
