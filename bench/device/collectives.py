"""Allreduces of arrays on one device that several processes share.

The ranks' side, which needs CuPy, is bench/ranks/devices.py.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from bench.device.parts import Row
from bench.world import run_ranks

_KIB = 2**10
_MIB = 2**20
_SIZES_BYTES = (4 * _KIB, 256 * _KIB, 4 * _MIB, 64 * _MIB)


@dataclass(frozen=True, slots=True)
class Task:
    """What ranks measure.

    Attributes:
        sizes_bytes: Of arrays.
        count: Iterations of each.
    """

    sizes_bytes: Sequence[int]
    count: int


def measure_collectives() -> Iterator[Row]:
    """Two and four ranks' sums beside their parts, and a step of one rank with and without."""
    if find_spec("cupy") is None:
        yield {"failed": "no CuPy"}
        return
    medians: dict[str, float] = {}
    for ranks, count in ((2, 30), (4, 20), (1, 60)):
        for series in run_ranks("devices", ranks, Task(_SIZES_BYTES, count)).series:
            yield {
                "ranks": ranks,
                "call": str(series.facts["call"]),
                "KiB": int(series.facts["bytes"]) // _KIB,
                "us": statistics.median(series.times_s) * 1e6,
                "least us": min(series.times_s) * 1e6,
            }
            medians[series.name] = statistics.median(series.times_s)
    yield {"ranks": 1, "call": "wrapped over plain", "ratio": overhead(medians)}


def overhead(medians: Mapping[str, float]) -> float:
    """What wrapping makes of a step's time.

    Args:
        medians: By the names of series, those of plain and wrapped steps among them.

    Returns:
        Wrapped over plain, the middle one of their turns; 1 where it costs nothing.
    """
    plain, wrapped = (
        [median for name, median in medians.items() if name.startswith(f"{kind} step")]
        for kind in ("plain", "wrapped")
    )
    return statistics.median(one / other for one, other in zip(wrapped, plain, strict=True))
