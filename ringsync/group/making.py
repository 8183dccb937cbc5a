"""How all ranks make a group: each says where it stands, so that all make it or none does."""

from __future__ import annotations

import contextlib
import json
import operator
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np

from ringsync._native import Terms
from ringsync.errors import ConfigError, MismatchError, RingsyncError
from ringsync.group.process_group import ProcessGroup, text_of
from ringsync.kinds import Collective
from ringsync.runtime import Runtime, current
from ringsync.seconds import checked_seconds
from ringsync.words import in_line

# What a rank tells of a list that cannot be used, or of its failure, is cut to this.
_MOST_TEXT = 200

# Digits of a rank and what parts it from the next; and all texts, of which some characters take two
# bytes.
_BYTES_PER_RANK = 8
_BYTES_OF_TEXT = 5 * _MOST_TEXT

_PLAIN = Terms()


def new_group(ranks: Iterable[int], *, timeout_s: float | None = None) -> ProcessGroup:
    """Make a group of some of the ranks, for the `group=` of collectives.

    Every rank of the world calls this with the same ranks, members or not, and several groups in
    one order, from one thread. Groups of equal ranks have nothing in common.

    Args:
        ranks: One rank or more, by their numbers in the world, each once and in any order; in the
            group they stand in ascending order.
        timeout_s: Seconds from this call; None means RINGSYNC_TIMEOUT_S, without which only a
            stall ends it.

    Returns:
        The group. Ranks that are not in it get one too, which they can only close.

    Raises:
        ConfigError: This rank's `ranks` cannot be used. The others are told.
        MismatchError: Ranks passed different ranks, on every rank; no group was made.
        RingsyncError: A rank has no room for it, on every rank; no group was made.
        PeerLostError: A rank died.
        TimedOutError: A rank did not call this in time.

    Cost: Two small messages between all ranks, and 4 MiB of shared memory on each rank of a group
        of two or more, of three or more 4.5.

    Example:
        >>> even = new_group(range(0, size(), 2))
        >>> if rank() in even.ranks:
        ...     mean = allreduce(x, group=even)
    """
    runtime = current()
    allowed_s = (
        runtime.settings.timeout_s if timeout_s is None else checked_seconds("new_group", timeout_s)
    )
    meeting = _Meeting(runtime, f"new_group.{runtime.next_number('new_group')}", allowed_s)
    try:
        members = _members(ranks, runtime.world.size)
    except ConfigError as error:
        # The others are told, or they would wait for this rank.
        cause = error.__cause__
        given = _short(in_line(ranks) if cause is None else f"ranks that raise {in_line(cause)}")
        meeting.compare(_Stand(None, given, ""), error)
        raise
    return meeting.make(members)


@dataclass(frozen=True, slots=True)
class _Stand:
    """Where a rank stands with a group that is being made.

    Attributes:
        members: The ranks that it was given, in order; None if they cannot be used.
        given: The same as the caller wrote it, where they cannot be used.
        failure: Why it cannot go on; "" if it can.
    """

    members: tuple[int, ...] | None
    given: str
    failure: str

    def ranks(self) -> str:
        return self.given if self.members is None else text_of(self.members)


class _Meeting:
    """All ranks make one group: each says where it stands, twice."""

    def __init__(self, runtime: Runtime, name: str, allowed_s: float) -> None:
        self._runtime = runtime
        self._name = name
        self._until_s = time.monotonic() + allowed_s
        self._words = 0

    def make(self, members: tuple[int, ...]) -> ProcessGroup:
        engine, rank = self._runtime.engine, self._runtime.world.rank
        failure: RingsyncError | None = None
        offer = number = None
        try:
            if rank in members:
                try:
                    offer = engine.offer_group(self._name, list(members))
                except RingsyncError as error:
                    failure = error
            self.compare(_Stand(members, "", _short(str(failure or ""))), failure)
            if offer is not None:
                try:
                    number = offer.connect()
                except RingsyncError as error:
                    failure = error
            self.compare(_Stand(members, "", _short(str(failure or ""))), failure)
        except BaseException:  # Ctrl-C too: nobody gets this group, so nobody else closes it
            if number is not None:
                with contextlib.suppress(RingsyncError):  # what came first is raised
                    ProcessGroup(self._runtime, number, members).close()
            raise
        finally:
            if offer is not None:
                offer.withdraw()
        return ProcessGroup(self._runtime, number, members)

    def compare(self, own: _Stand, error: RingsyncError | None) -> None:
        """Tell the others and hear them; raise on every rank unless all can go on."""
        stands = self._exchange(own)
        if error is not None:
            raise error
        reference = next((i for i, one in enumerate(stands) if one.members is not None), 0)
        for i, one in enumerate(stands):
            if one.members != stands[reference].members:
                raise MismatchError(
                    f"[new_group] rank {i} passed {one.ranks()}, rank {reference} passed "
                    f"{stands[reference].ranks()}. Call it with the same ranks on all ranks."
                )
        for i, one in enumerate(stands):
            if one.failure:
                raise RingsyncError(f"[new_group] rank {i} cannot make its part: {one.failure}")

    def _exchange(self, own: _Stand) -> list[_Stand]:
        size = self._runtime.world.size
        row = np.full((1, size * _BYTES_PER_RANK + _BYTES_OF_TEXT), ord(" "), np.uint8)
        text = np.frombuffer(json.dumps([own.members, own.given, own.failure]).encode(), np.uint8)
        row[0, : len(text)] = text
        self._words += 1
        name = f"{self._name}.{self._words}"
        rows = self._runtime.engine.run(
            Collective.ALLGATHER, row, "new_group", name, self._left_s(), _PLAIN
        )
        told = [json.loads(one.tobytes()) for one in rows]
        return [
            _Stand(None if members is None else tuple(members), given, failure)
            for members, given, failure in told
        ]

    def _left_s(self) -> float:
        return max(self._until_s - time.monotonic(), 1e-3)


def _short(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()[:_MOST_TEXT]


def _members(ranks: Iterable[int], size: int) -> tuple[int, ...]:
    given: list[object] = []
    try:
        given.extend(ranks)
        members = tuple(sorted(operator.index(cast(int, rank)) for rank in given))
    except TypeError:
        members = ()
    except Exception as error:  # whatever the caller's own iterable raises
        raise ConfigError(
            f"[new_group] ranks={in_line(ranks)} raise {in_line(error)}; {_wanted(size)} Pass, for "
            "example, [0]."
        ) from error
    if any(isinstance(rank, bool | np.bool_) for rank in given):
        raise ConfigError(
            f"[new_group] ranks={in_line(ranks)} hold a bool, which is no rank's number; "
            f"{_wanted(size)} Pass, for example, [0]."
        )
    is_each_once = len(set(members)) == len(members)
    if not members or not is_each_once or members[0] < 0 or members[-1] >= size:
        raise ConfigError(
            f"[new_group] ranks={in_line(ranks)}; {_wanted(size)} Pass, for example, [0]."
        )
    return members


def _wanted(size: int) -> str:
    return f"one rank or more, each once, 0 <= rank < {size}, are expected."
