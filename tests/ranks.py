"""Ranks as threads of one process: how most tests make a world, run it and take it down again."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any

import numpy as np

from ringsync import _native
from ringsync.arrays import as_native
from ringsync.handle import GroupedHandle, Handle
from ringsync.kinds import Collective as Numbers

# No test waits longer for anything; whatever takes longer hangs.
DEADLINE_S = 30.0

TRANSPORTS = tuple(_native.transport_names())
ALGORITHMS = ("", "ring")


# The package's numbers, to be gone through and shown by name.
Collective = IntEnum("Collective", {k: v for k, v in vars(Numbers).items() if k.isupper()})


class Op(IntEnum):
    AVERAGE = 0
    SUM = 1
    MIN = 3
    MAX = 4
    PRODUCT = 5


def side_by_side(size: int, work: Callable[[int], Any]) -> list[Any]:
    """Run `work(0)` to `work(size - 1)` in threads; an exception takes the place of a result."""
    outcomes: list[Any] = [AssertionError("still runs at the deadline")] * size

    def run(index: int) -> None:
        try:
            outcomes[index] = work(index)
        except BaseException as error:  # whatever it is, the caller judges it
            outcomes[index] = error

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    return outcomes


def until(condition: Callable[[], Any]) -> None:
    """Return once `condition()` holds, which another thread or process is about to bring about."""
    limit = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < limit, "it did not come about"
        os.sched_yield()


def values_of(outcomes: list[Any]) -> list[Any]:
    """The outcomes, if none of them is an exception."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failures:
        raise AssertionError(f"a rank failed: {outcomes!r}") from failures[0]
    return outcomes


class Rank:
    """One engine and the few words in which tests speak to it."""

    def __init__(
        self,
        store: Any,
        rank: int,
        size: int,
        transport: str,
        algorithm: str = "",
        stall_warn_s: float = 2 * DEADLINE_S,  # finite, as in a job, and never reached
        stall_abort_s: float = 3 * DEADLINE_S,
        device_plugin: str = "",
        nccl_library: str = "",
    ):
        self.rank = rank
        self.size = size
        self.engine = _native.Engine(
            store,
            rank,
            size,
            transport,
            algorithm=algorithm,
            timeout_s=DEADLINE_S,
            stall_warn_s=stall_warn_s,
            stall_abort_s=stall_abort_s,
            device_plugin=device_plugin,
            has_nccl=bool(nccl_library),
            nccl_library=nccl_library,
        )

    def submit(self, collective, array=None, **how):
        return self.engine.submit(Handle, *self._arguments(collective, array, **how))

    def submit_all(self, arrays, **how):
        views = [as_native(array) for array in arrays]
        arguments = self._arguments(Collective.ALLREDUCE, None, **how)
        return self.engine.submit_all(GroupedHandle, arguments[0], views, *arguments[2:])

    def run(self, collective, array=None, **how):
        return self.engine.run(*self._arguments(collective, array, **how))

    def allreduce(self, array, **how):
        return self.run(Collective.ALLREDUCE, array, **how)

    def broadcast(self, array, **how):
        return self.run(Collective.BROADCAST, array, **how)

    def allgather(self, array, **how):
        return self.run(Collective.ALLGATHER, array, **how)

    def reduce_scatter(self, array, **how):
        return self.run(Collective.REDUCE_SCATTER, array, **how)

    def alltoall(self, array, splits, **how):
        return self.run(Collective.ALLTOALL, array, splits=splits, **how)

    def send(self, array, to, **how):
        self.run(Collective.SEND, array, root=self.rank, peer=to, **how)

    def recv(self, array, source, **how):
        return self.run(Collective.SEND, array, root=source, peer=source, **how)

    def submit_send(self, array, to, **how):
        return self.submit(Collective.SEND, array, root=self.rank, peer=to, **how)

    def submit_recv(self, array, source, **how):
        return self.submit(Collective.SEND, array, root=source, peer=source, **how)

    def barrier(self, **how):
        self.run(Collective.BARRIER, **how)

    def registered(self, array):
        """A copy of `array` in memory that the other ranks see."""
        copy = self.engine.allocate(array.nbytes).view(array.dtype).reshape(array.shape)
        copy[...] = array
        return copy

    @staticmethod
    def _arguments(
        collective,
        array=None,
        *,
        name=None,
        op=Op.SUM,
        root=0,
        timeout_s=DEADLINE_S,
        splits=(),
        prescale=1.0,
        postscale=1.0,
        codec="",
        peer=-1,
        group=0,
        step=0,
    ):
        terms = _native.Terms(int(op), root, peer, splits, prescale, postscale, codec, step=step)
        view = None if array is None else as_native(array)
        return (int(collective), view, "test", name, timeout_s, terms, group)


class Group:
    """A group of some ranks of a world, as each of them knows it."""

    def __init__(self, ranks: list[Rank], members: list[int], name: str):
        engines = {member: ranks[member].engine for member in members}
        offers = {member: engines[member].offer_group(name, members) for member in members}
        # By rank, because each counts the groups that it is in.
        self.number = {member: offers[member].connect() for member in members}
        self.members = members
        for offer in offers.values():
            offer.withdraw()
        self._of = {
            member: _native.ProcessGroup(engines[member], self.number[member]) for member in members
        }

    def close(self, member: int) -> None:
        self._of[member]._close()

    def close_all(self) -> None:
        for member in self.members:
            self.close(member)


def join(rank: Rank, **how) -> int:
    """Which rank joins last, once all have."""
    last = np.zeros(1, np.int64)
    rank.run(Collective.JOIN, last, **how)
    return int(last[0])


def finish(handle) -> None:
    """Wait for a handle and raise its error, if it has one."""
    handle.wait(DEADLINE_S)


class World:
    """All ranks of one world, in this process."""

    def __init__(
        self,
        size: int,
        transport: str = "inproc",
        algorithm: str | list[str] = "",
        device_plugin: str | list[str] = "",
        nccl_library: str = "",
        **stall_limits: float,
    ):
        store = _native.memory_store()
        names = [algorithm] * size if isinstance(algorithm, str) else algorithm
        plugins = [device_plugin] * size if isinstance(device_plugin, str) else device_plugin
        self.ranks: list[Rank] = values_of(
            side_by_side(
                size,
                lambda i: Rank(
                    store,
                    i,
                    size,
                    transport,
                    names[i],
                    device_plugin=plugins[i],
                    nccl_library=nccl_library,
                    **stall_limits,
                ),
            )
        )
        self._groups = itertools.count()

    def group(self, *members: int) -> Group:
        """A new group of `members`, in ascending order."""
        return Group(self.ranks, list(members), f"group.{next(self._groups)}")

    def outcomes(self, work: Callable[[Rank], Any]) -> list[Any]:
        return side_by_side(len(self.ranks), lambda i: work(self.ranks[i]))

    def each(self, work: Callable[[Rank], Any]) -> list[Any]:
        return values_of(self.outcomes(work))

    def errors(self, work: Callable[[Rank], Any], kind: type[BaseException]) -> list[Any]:
        """What `work` raises on every rank; all of it must be of `kind`."""
        outcomes = self.outcomes(work)
        for rank, outcome in enumerate(outcomes):
            assert isinstance(outcome, kind), f"rank {rank}: {outcome!r} is no {kind.__name__}"
        return outcomes

    def require_usable(self) -> None:
        """An allreduce and a barrier work, whatever happened before."""
        total = len(self.ranks) * (len(self.ranks) + 1) // 2

        def work(rank: Rank) -> float:
            rank.barrier(name="usable.barrier")
            return float(rank.allreduce(np.full(3, rank.rank + 1.0), name="usable.sum")[2])

        assert self.each(work) == [total] * len(self.ranks)

    def close(self) -> None:
        for rank in self.ranks:
            rank.engine.shutdown("the test is over")


@contextlib.contextmanager
def world(
    size: int,
    transport: str = "inproc",
    algorithm: str | list[str] = "",
    device_plugin: str | list[str] = "",
    nccl_library: str = "",
    **stall_limits: float,
) -> Iterator[World]:
    made = World(size, transport, algorithm, device_plugin, nccl_library, **stall_limits)
    try:
        yield made
    finally:
        made.close()


class Worlds:
    """Worlds that many examples share, made once each."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, str, str], World] = {}

    def of(self, size: int, transport: str, algorithm: str = "") -> World:
        key = (size, transport, algorithm)
        if key not in self._made:
            self._made[key] = World(*key)
        return self._made[key]

    def close(self) -> None:
        for made in self._made.values():
            made.close()
