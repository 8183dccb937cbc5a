"""Horovod's process sets: some of the ranks under a number, registered by all."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from ringsync import position, runtime
from ringsync.collectives.call import told_as
from ringsync.errors import ConfigError
from ringsync.group import ProcessGroup, new_group
from ringsync.torch.errors import NOT_INITIALIZED, HorovodInternalError, asked, told_to_horovod
from ringsync.words import in_line, kind_of


class ProcessSet:
    """Some of the ranks. It can be used once it is registered, by `init` or `add_process_set`.

    Attributes:
        process_set_id: Its number; None while it is not registered.
        mpi_comm: None.
    """

    mpi_comm = None

    def __init__(self, ranks_or_comm: Iterable[int]) -> None:
        """Name the ranks.

        Args:
            ranks_or_comm: Their numbers in the world.

        Raises:
            ValueError: They are no numbers, or one comes twice.
        """
        ranks = [*ranks_or_comm] if isinstance(ranks_or_comm, Iterable) else None
        is_usable = ranks is not None and all(type(rank) is int for rank in ranks)
        if ranks is None or not is_usable or len(set(ranks)) < len(ranks):
            raise ValueError(
                f"[ProcessSet] {in_line(ranks_or_comm)} was given; distinct ranks are expected. "
                "Pass, for example, [0, 1]."
            )
        self.process_set_id: int | None = None
        self._ranks = sorted(ranks)
        self._group: ProcessGroup | None = None

    @property
    def ranks(self) -> list[int] | None:
        """Its ranks, by their numbers in the world, in ascending order."""
        return self._ranks

    def size(self) -> int | None:
        """Return how many ranks it has.

        Returns:
            Their number; None before it is registered.

        Raises:
            ValueError: Of all ranks, before `init`.
        """
        if self.process_set_id is None:
            return None
        return len(self._members())

    def rank(self) -> int | None:
        """Return this rank's place among them.

        Returns:
            0 <= rank < size(); None before it is registered.

        Raises:
            ValueError: This rank is not in the set, or `init` was not called.
        """
        if self.process_set_id is None:
            return None
        own = asked(position.rank)
        if own not in self._members():
            raise ValueError(f"Process set {self} does not include rank {own}.")
        return self._members().index(own)

    def included(self) -> bool:
        """Tell whether this rank is in it, registered or not.

        Returns:
            True if it is.

        Raises:
            ValueError: Before `init`.
        """
        return asked(position.rank) in self._members()

    def _members(self) -> list[int]:
        return self._ranks

    def __deepcopy__(self, _: object) -> ProcessSet:
        """Return the set itself: a copy of a layer that belongs to it belongs to it too."""
        return self

    def __repr__(self) -> str:
        """Name it with its ranks."""
        return f"ProcessSet(process_set_id={self.process_set_id}, ranks={self.ranks})"


class _GlobalProcessSet(ProcessSet):
    """All ranks, whichever world they are of."""

    def __init__(self) -> None:
        super().__init__([])
        self.process_set_id = 0

    @property
    def ranks(self) -> list[int] | None:
        """All of them; None before `init`."""
        return self._members() if runtime.is_initialized() else None

    def _members(self) -> list[int]:
        return list(range(asked(position.size)))


global_process_set: ProcessSet = _GlobalProcessSet()

# Of this process, as Horovod's handles are; emptied with every world.
_registered: dict[int, ProcessSet] = {}


def add_process_set(process_set: ProcessSet | Iterable[int]) -> ProcessSet:
    """Register a set of ranks; all ranks of the world call this with the same ranks.

    Args:
        process_set: The set, or its ranks.

    Returns:
        The set.

    Raises:
        ValueError: It cannot be used, one of the same ranks is registered, or this is before
            `init`.
        HorovodInternalError: Ranks passed different ranks, or one died.
    """
    if not isinstance(process_set, ProcessSet):
        process_set = ProcessSet(process_set)
    is_new = not _is_registered(process_set)
    with told_to_horovod():
        # Also of a duplicate, or ranks that pass different ranks would wait for one another.
        with told_as("add_process_set", ConfigError):
            group = new_group(process_set._members())
        if not is_new:
            group.close()
            raise ValueError(f"Attempted to add a duplicate process set: {process_set}")
    process_set._group = group
    number = next(number for number in itertools.count(1) if number not in _registered)
    process_set.process_set_id = number
    _registered[number] = process_set
    return process_set


def remove_process_set(process_set: ProcessSet) -> bool:
    """Let go of a registered set; all ranks call this, and none waits for another.

    Args:
        process_set: Of `add_process_set`.

    Returns:
        False if it is the global one or not registered.

    Raises:
        ValueError: It is no process set, or a call of this rank is in flight in it.
    """
    if not isinstance(process_set, ProcessSet):
        raise ValueError(  # noqa: TRY004  as of all arguments
            f"[remove_process_set] {kind_of(process_set)} is no process set. Pass what "
            "add_process_set() returned."
        )
    if process_set._group is None:
        return False
    with told_to_horovod():
        process_set._group.close()
    assert process_set.process_set_id is not None  # it has a group
    del _registered[process_set.process_set_id]
    _unregister(process_set)
    return True


def register_all(process_sets: Sequence[ProcessSet]) -> None:
    """Register the sets that `init` was given.

    Args:
        process_sets: In the same order on all ranks.

    Raises:
        ValueError: One cannot be used, or comes twice.
    """
    for i, process_set in enumerate(process_sets):
        if _is_registered(process_set):
            raise ValueError(
                f"Horovod could not be initialized because process_sets entry number {i} is a "
                f"duplicate: {process_set}"
            )
        add_process_set(process_set)


def forget_process_sets() -> None:
    """Unregister all sets: their world is gone."""
    for process_set in _registered.values():
        _unregister(process_set)
    _registered.clear()


def ids_and_ranks() -> dict[int, list[int]]:
    """List what is registered.

    Returns:
        The ranks of each set by its number; the global one is 0.
    """
    sets = {0: global_process_set._members()}
    return sets | {number: one._members() for number, one in sorted(_registered.items())}


def group_of(what: str, process_set: ProcessSet) -> ProcessGroup | None:
    """Find the group in which a call takes place.

    Args:
        what: The collective, for messages.
        process_set: As the caller gave it.

    Returns:
        The group; None: all ranks.

    Raises:
        ValueError: The set is not registered, or this rank is not in it.
        HorovodInternalError: There is no engine.
    """
    if not runtime.is_initialized():
        raise HorovodInternalError(NOT_INITIALIZED)
    if process_set is global_process_set:
        return None
    check_registered(what, process_set)
    if not process_set.included():
        raise ValueError(
            f"{what}: Rank {position.rank()} is not a member of the provided process set."
        )
    return process_set._group


def check_registered(what: str, process_set: ProcessSet) -> None:
    """Check that calls can take place in a set, if not of this rank then of others.

    Args:
        what: The function that was called, for messages.
        process_set: As the caller gave it.

    Raises:
        ValueError: It is no process set, or is not registered.
    """
    if process_set is global_process_set:
        return
    if not isinstance(process_set, ProcessSet) or process_set._group is None:
        raise ValueError(
            f"{what}: Process set provided does not exist, or has not been registered: "
            f"{in_line(process_set)}. Pass what add_process_set() returns."
        )


def _is_registered(process_set: ProcessSet) -> bool:
    return process_set._members() in ids_and_ranks().values()


def _unregister(process_set: ProcessSet) -> None:
    process_set.process_set_id = None
    process_set._group = None
