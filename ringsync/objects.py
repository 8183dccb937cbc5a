"""Python objects between ranks.

They travel pickled, and only between processes that have proved to belong to the same user: what
arrives can run code, as anything that user starts can.
"""

from __future__ import annotations

import operator
import pickle
import traceback
from typing import TypeVar, cast

import numpy as np

from ringsync.collectives.call import rooted, run, told_as
from ringsync.errors import ConfigError
from ringsync.group import ProcessGroup, ranks_of
from ringsync.kinds import Collective
from ringsync.runtime import current

T = TypeVar("T")

# Every pickle begins with its protocol's mark; what cannot be pickled sends this and the reason.
_FAILED = b"\0"
_MOST_REASON_BYTES = 300


def broadcast_object(
    obj: T, root: int = 0, *, name: str | None = None, group: ProcessGroup | None = None
) -> T:
    """Return `root`'s object on every rank.

    Args:
        obj: Anything picklable on `root`; ignored elsewhere.
        root: The rank whose object all get, by its number in the world, of a group as well.
        name: Key under which ranks meet; None pairs calls by order.
        group: As for `allreduce`.

    Returns:
        `obj` itself on `root`, an equal object elsewhere.

    Raises:
        ConfigError: `root` does not take part, its object cannot be pickled (on every rank), or it
            cannot be unpickled on this one.
        MismatchError: Ranks named different roots or made other calls, or one has joined.
        PeerLostError: A rank died.
        TimedOutError: Not complete in time.

    Cost: (n-1) * the pickled size sent by `root`.
    """
    terms = rooted("broadcast_object", root, group)
    is_root = current().world.rank == operator.index(root)  # which `rooted` has found to be a rank
    payload, failure = _pickled(obj) if is_root else (b"", None)
    # The others contribute nothing, so what is gathered is the root's bytes, whatever their number.
    source = np.frombuffer(payload, np.uint8)
    with told_as("broadcast_object"):
        data = run("broadcast_object", Collective.ALLGATHER, source, name, None, terms, group)
    told = data.tobytes()
    if told.startswith(_FAILED):
        raise _refusal("broadcast_object", root, told) from failure
    return obj if is_root else cast(T, _unpickled(told, "broadcast_object", root))


def allgather_object(
    obj: T, *, name: str | None = None, group: ProcessGroup | None = None
) -> list[T]:
    """Return every rank's object on every rank.

    Args:
        obj: Anything picklable.
        name: Key under which ranks meet; None pairs calls by order.
        group: As for `allreduce`.

    Returns:
        The objects by rank.

    Raises:
        ConfigError: A rank's object cannot be pickled, or unpickled (on every rank).
        MismatchError: Ranks made other calls, or one has joined.
        PeerLostError: A rank died.
        TimedOutError: Not complete in time.

    Cost: (n-1) * the pickled size sent per rank.
    """
    ranks = ranks_of("allgather_object", group)
    # Who has nothing to send takes part all the same, or ranks would be an operation apart.
    payload, failure = _pickled(obj)
    size, source = np.array([len(payload)], np.int64), np.frombuffer(payload, np.uint8)
    size_name = None if name is None else f"{name}.size"
    with told_as("allgather_object"):
        sizes = run("allgather_object", Collective.ALLGATHER, size, size_name, None, group=group)
        data = run("allgather_object", Collective.ALLGATHER, source, name, None, group=group)
    told = [part.tobytes() for part in np.split(data, np.cumsum(sizes)[:-1])]
    for rank, one in zip(ranks, told, strict=True):
        if one.startswith(_FAILED):
            raise _refusal("allgather_object", rank, one) from failure
    return [
        cast(T, _unpickled(one, "allgather_object", rank))
        for rank, one in zip(ranks, told, strict=True)
    ]


def _pickled(obj: object) -> tuple[bytes, Exception | None]:
    """Never raises: the failure is told when all ranks know of it; the bytes say why then."""
    try:
        return pickle.dumps(obj), None
    except Exception as error:  # whatever the object's own methods raise
        return _FAILED + _reason(error).encode()[:_MOST_REASON_BYTES], error


def _unpickled(told: bytes, place: str, rank: int) -> object:
    try:
        return pickle.loads(told)
    except Exception as error:  # whatever the object's own methods raise
        raise ConfigError(
            f"[{place}] the object of rank {rank} cannot be unpickled on rank "
            f"{current().world.rank} ({_reason(error)}). Send its parts."
        ) from error


def _refusal(place: str, rank: int, told: bytes) -> ConfigError:
    reason = told.removeprefix(_FAILED).decode(errors="replace")
    return ConfigError(
        f"[{place}] the object of rank {rank} cannot be pickled ({reason}). Send its parts."
    )


def _reason(error: Exception) -> str:
    """The exception in one line, whatever its own `__str__` does."""
    return ascii(traceback.format_exception_only(error)[0].strip())[1:-1]
