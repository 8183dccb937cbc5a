"""One rank of `bench.allreduce`: the in-place sum of float32 arrays, timed and checked.

Each timed call starts on all ranks at once, on values just rewritten, as gradients are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

import ringsync as rs
from bench.measure import choose_count, split_count, time_together
from bench.rank import Rank
from bench.series import Fact, Series
from bench.units import format_size

_ITEM_BYTES = 4
_BUDGET_S = 0.5  # a size; ten of them in two kinds of memory then take about ten seconds
_LEAST, _MOST = 10, 1000
_BLOCKS = 5  # kinds of memory take turns, so that a slow moment of the machine meets both
_TRIALS = 3
# A period that is prime to chunks and segments, so that a misplaced one shows; its sums over any
# number of ranks up to 365 are exact in float32.
_PERIOD = 251

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Task:
    """What to measure.

    Attributes:
        sizes: Bytes of the arrays.
        memories: Where they lie: "private", "registered".
        repeat: Iterations; 0: as many as fit into half a second.
    """

    sizes: Sequence[int]
    memories: Sequence[str]
    repeat: int


@dataclass(slots=True)
class _Case:
    """One array of one size, and what its calls have shown so far."""

    memory: str
    array: Floats
    wrong: int = 0
    times_s: list[float] = field(default_factory=list)


def main() -> None:
    """Measure all sizes and deliver."""
    rank = Rank()
    task = Task(**rank.read_task())
    series: list[Series] = []
    for size_bytes in task.sizes:
        series += measure_size(rank, task, size_bytes)
    rank.deliver(series)


def measure_size(rank: Rank, task: Task, size_bytes: int) -> list[Series]:
    """Measure one size in every kind of memory, interleaved.

    Args:
        rank: This process.
        task: What to measure.
        size_bytes: Of the array.

    Returns:
        A series per kind of memory.
    """
    cases = [_Case(memory, _make_array(memory, size_bytes)) for memory in task.memories]
    trials_s: list[float] = []
    for case in cases:
        case.wrong += _count_wrong(rank, case.array)
        trials_s += _time(rank, case.array, _TRIALS)
    count = task.repeat or choose_count(trials_s, _BUDGET_S, _LEAST, _MOST)
    meter = rank.watch_load()
    for block in split_count(count, _BLOCKS):
        for case in cases:
            case.times_s += _time(rank, case.array, block)
            case.wrong += int(np.count_nonzero(case.array != rank.size))
    facts: dict[str, Fact] = {
        "bytes": size_bytes,
        "np": rank.size,
        "foreign_cores": rank.foreign_cores(meter),
    }
    for case in cases:
        case.wrong += _count_wrong(rank, case.array)
    return [_series(case, facts) for case in cases]


def _make_array(memory: str, size_bytes: int) -> Floats:
    count = size_bytes // _ITEM_BYTES
    return rs.empty(count) if memory == "registered" else np.empty(count, np.float32)


def _time(rank: Rank, array: Floats, count: int) -> list[float]:
    call = partial(rs.allreduce_, array, op=rs.Sum)
    return rank.slowest_s(time_together(call, partial(array.fill, 1), rank.barrier, count))


def _count_wrong(rank: Rank, array: Floats) -> int:
    """Elements that are wrong after a sum of values that differ by place and rank."""
    pattern: Floats = np.resize(np.arange(1, _PERIOD + 1, dtype=np.float32), array.shape)
    np.multiply(pattern, rank.rank + 1, out=array)
    rs.allreduce_(array, op=rs.Sum)
    pattern *= rank.size * (rank.size + 1) // 2
    return int(np.count_nonzero(array != pattern))


def _series(case: _Case, facts: dict[str, Fact]) -> Series:
    wrong = int(rs.allreduce(np.array([case.wrong]), op=rs.Sum)[0])
    name = f"{case.memory}-{format_size(int(facts['bytes']))}"
    return Series(name, case.times_s, {**facts, "memory": case.memory, "wrong": wrong})


if __name__ == "__main__":
    main()
