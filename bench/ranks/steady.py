"""One rank of `bench.steady`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import ringsync as rs
from bench.rank import Rank
from bench.series import Fact, Series

# Operations of the group that must not wait, spread over the time that the other one waits: the
# engine falls asleep between two of them.
_CALLS = 100
# Ranks of the group that waits, and of the one that must not.
_HOLDS = (([0, 1], [0, 1], "same-ranks"), ([0, 1], [2, 3], "other-ranks"))


@dataclass(frozen=True, slots=True)
class Task:
    """What to measure.

    Attributes:
        cycles: Worlds, one after another.
        names: Names of operations, each used once.
        seconds: How long one group waits.
    """

    cycles: int
    names: int
    seconds: float


def main() -> None:
    """Measure and deliver."""
    rank = Rank()
    task = Task(**rank.read_task())
    rank.deliver(list(_measure(rank, task)))


def _measure(rank: Rank, task: Task) -> Iterator[Series]:
    yield Series("cycles", rank.slowest_s(_cycles_ns(task.cycles)))
    yield Series("names", rank.slowest_s(_names_ns(task.names)))
    for held, free, name in _HOLDS:
        if rank.size > max(held + free):
            yield _hold(rank, task.seconds, held, free, name)


def _cycles_ns(cycles: int) -> list[int]:
    rs.shutdown()
    times_ns = []
    for _ in range(cycles):
        start_ns = time.perf_counter_ns()
        rs.init()
        rs.shutdown()
        times_ns.append(time.perf_counter_ns() - start_ns)
    rs.init()
    return times_ns


def _names_ns(names: int) -> list[int]:
    array = np.zeros(16, np.float32)
    times_ns = []
    for number in range(names):
        start_ns = time.perf_counter_ns()
        rs.allreduce_(array, name=f"layer.{number}.weight")
        times_ns.append(time.perf_counter_ns() - start_ns)
    return times_ns


def _hold(rank: Rank, seconds: float, held: list[int], free: list[int], name: str) -> Series:
    """Time operations of one group while another waits for its last rank."""
    waiting, going = rs.new_group(held), rs.new_group(free)
    rs.barrier()
    handle = None
    if rank.rank == held[0]:
        handle = rs.allreduce_async_(np.zeros(4), group=waiting)
    times_ns = np.zeros(_CALLS)
    if rank.rank in free:
        for call in range(_CALLS):
            time.sleep(seconds / _CALLS)  # what is measured is a call that finds engines asleep
            start_ns = time.perf_counter_ns()
            rs.allreduce_(np.zeros(4), group=going)
            times_ns[call] = time.perf_counter_ns() - start_ns
    elif rank.rank in held:
        time.sleep(seconds)  # the submission that the group waits for
    if rank.rank == held[1]:
        handle = rs.allreduce_async_(np.zeros(4), group=waiting)
    if handle is not None:
        handle.wait()
    # A call counts from when its last rank came.
    rows = rs.allgather(times_ns[None])[free]
    waiting.close()
    going.close()
    facts: dict[str, Fact] = {"held": f"ranks {held}", "free": f"ranks {free}", "seconds": seconds}
    return Series(name, (rows.min(axis=0) / 1e9).tolist(), facts)


if __name__ == "__main__":
    main()
