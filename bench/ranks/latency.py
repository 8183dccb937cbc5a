"""One rank of `bench.latency`: small blocking calls, back to back.

Nothing stands between two calls, so a rank that is late delays the next one, as in a program.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

import ringsync as rs
from bench.measure import Action, choose_count, time_back_to_back
from bench.rank import Rank
from bench.series import Fact, Series
from bench.units import format_size
from ringsync.arrays import Array

_ITEM_BYTES = 4
_BUDGET_S = 0.3
_LEAST, _MOST = 100, 10_000  # below 100 there is no 99th percentile
_TRIALS = 100


@dataclass(frozen=True, slots=True)
class Task:
    """What to measure.

    Attributes:
        sizes: Bytes of the arrays that are summed, and sent from rank 0 to rank 1.
        memories: Where they lie: "private", "registered".
        repeat: Calls; 0: as many as fit into a third of a second.
    """

    sizes: Sequence[int]
    memories: Sequence[str]
    repeat: int


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    facts: dict[str, Fact]
    call: Action


def main() -> None:
    """Measure all calls and deliver."""
    rank = Rank()
    task = Task(**rank.read_task())
    rank.deliver([_measure(rank, case, task.repeat) for case in _cases(task, rank)])


def _cases(task: Task, rank: Rank) -> Iterator[_Case]:
    yield _Case("barrier", {"op": "barrier", "bytes": 0, "memory": "-"}, rs.barrier)
    for size_bytes in task.sizes:
        for memory in task.memories:
            count = size_bytes // _ITEM_BYTES
            # Zeros stay zeros, however often they are summed.
            array = rs.empty(count) if memory == "registered" else np.zeros(count, np.float32)
            facts: dict[str, Fact] = {"op": "allreduce_", "bytes": size_bytes, "memory": memory}
            name = f"{memory}-{format_size(size_bytes)}"
            yield _Case(name, facts, partial(rs.allreduce_, array, op=rs.Sum))
            if rank.size > 1:
                sent = facts | {"op": "send"}
                yield _Case(f"send-{name}", sent, partial(_pass_on, array, rank.rank))


def _pass_on(array: Array, rank: int) -> None:
    if rank == 0:
        rs.send(array, to=1)
    elif rank == 1:
        rs.recv(array, source=0)


def _measure(rank: Rank, case: _Case, repeat: int) -> Series:
    trials_ns, _ = time_back_to_back(case.call, rank.barrier, _TRIALS)
    count = repeat or choose_count(rank.slowest_s(trials_ns), _BUDGET_S, _LEAST, _MOST)
    times_ns, total_ns = time_back_to_back(case.call, rank.barrier, count)
    loop_s = rank.slowest_s([total_ns])[0] / count
    facts = case.facts | {"np": rank.size, "loop_us": loop_s * 1e6}
    return Series(case.name, rank.slowest_s(times_ns), facts)


if __name__ == "__main__":
    main()
