"""Python objects between ranks under Horovod's signatures, those of a script or notebook as well.

How they travel is the matter of `ringsync.objects`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import cloudpickle  # type: ignore[import-untyped]  # it ships no annotations

from ringsync import objects
from ringsync.torch.errors import told_to_horovod
from ringsync.torch.process_sets import ProcessSet, global_process_set, group_of

T = TypeVar("T")


class _ByValue:
    """Pickles as its object does with cloudpickle: functions and classes of a script included."""

    def __init__(self, obj: object) -> None:
        self.obj = obj

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        # Pickled in here, so that a failure is told to all ranks as ringsync.objects tells it.
        return cloudpickle.loads, (cloudpickle.dumps(self.obj),)


def broadcast_object(
    obj: T,
    root_rank: int = 0,
    name: str | None = None,
    process_set: ProcessSet = global_process_set,
) -> T:
    """Return `root_rank`'s object on every rank.

    Args:
        obj: Anything that cloudpickle can send; ignored on the other ranks.
        root_rank: The rank whose object all get, by its number in the world, of a set as well.
        name: Key under which ranks meet; None pairs calls by order.
        process_set: The ranks that take part.

    Returns:
        `obj` itself on `root_rank`, an equal object elsewhere.

    Raises:
        ValueError: `root_rank` or this rank does not take part, or the object cannot be pickled.
        HorovodInternalError: Ranks named different roots or made other calls, or one died.

    Cost: (n-1) * the pickled size sent by `root_rank`.
    """
    group = group_of("Broadcast", process_set)
    with told_to_horovod():
        told = objects.broadcast_object(_ByValue(obj), root_rank, name=name, group=group)
    # The root gets its own argument back; elsewhere it has been unpickled as what it holds.
    return cast(T, told.obj if isinstance(told, _ByValue) else told)


def allgather_object(
    obj: T, name: str | None = None, process_set: ProcessSet = global_process_set
) -> list[T]:
    """Return every rank's object on every rank.

    Args:
        obj: Anything that cloudpickle can send.
        name: Key under which ranks meet; None pairs calls by order.
        process_set: The ranks that take part.

    Returns:
        The objects by rank; this rank's own is a copy, too.

    Raises:
        ValueError: This rank does not take part, or a rank's object cannot be pickled.
        HorovodInternalError: Ranks made other calls, or one died.

    Cost: (n-1) * the pickled size sent per rank.
    """
    group = group_of("Allgather", process_set)
    with told_to_horovod():
        # A _ByValue is unpickled as what it holds.
        gathered: list[Any] = objects.allgather_object(_ByValue(obj), name=name, group=group)
    return gathered
