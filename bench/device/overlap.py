"""How much of the exchange of gradients a backward pass on the device hides.

The ranks' side, which needs CuPy, is bench/ranks/device_overlap.py.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from bench.device.parts import Row
from bench.world import run_ranks

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Task:
    """What ranks measure.

    Attributes:
        width: Of a layer, whose gradient has its square of elements.
        batch: Rows that a gradient is made of: how long its product takes.
        layers: Gradients of a step.
        count: Steps of each kind.
    """

    width: int
    batch: int
    layers: int
    count: int


# Gradients of 4 and 16 MiB, whose products take about as long as sums of two ranks on one GPU did.
_TASKS = (Task(1024, 16384, 16, 30), Task(2048, 4096, 16, 30))


def efficiency(backward_s: float, exchange_s: float, both_s: float) -> float:
    """Share of the exchange that a step hides.

    Args:
        backward_s: Of the backward pass alone.
        exchange_s: Of the exchange alone.
        both_s: Of a step that does both.

    Returns:
        1 where the exchange costs nothing; 0 where it costs all of its time, below 0 where more.
    """
    return (backward_s + exchange_s - both_s) / exchange_s


def measure_overlap() -> Iterator[Row]:
    """Two and four ranks' steps beside their two halves."""
    if find_spec("cupy") is None:
        yield {"failed": "no CuPy"}
        return
    for ranks in (2, 4):
        for task in _TASKS:
            series = run_ranks("device_overlap", ranks, task).series
            found = {one.name: statistics.median(one.times_s) for one in series}
            yield {
                "ranks": ranks,
                "layers": task.layers,
                "MiB": task.width**2 * 4 // _MIB,
                **{f"{name} us": seconds * 1e6 for name, seconds in found.items()},
                "hidden": efficiency(found["backward"], found["exchange"], found["both"]),
            }
