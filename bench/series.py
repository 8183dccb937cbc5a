"""What a measurement hands over: how long one thing took, again and again, and its statistics.

It neither measures nor prints.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

Fact = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Series:
    """Times of one thing.

    Attributes:
        name: Which of its bench's cases, for example `private-1KiB`.
        times_s: One per iteration; of several ranks, the slowest's.
        facts: What the times belong to and what came of them.
    """

    name: str
    times_s: Sequence[float]
    facts: dict[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Summary:
    """Statistics of a series, in seconds.

    Attributes:
        rounds: Number of iterations.
        total: Sum.
        min: Shortest.
        max: Longest.
        mean: Mean.
        stddev: Standard deviation of the sample; 0 of a single value.
        median: Median.
        q1: First quartile.
        q3: Third quartile.
        p90: 90th percentile.
        p99: 99th percentile.
    """

    rounds: int
    total: float
    min: float
    max: float
    mean: float
    stddev: float
    median: float
    q1: float
    q3: float
    p90: float
    p99: float


def summarize(times_s: Sequence[float]) -> Summary:
    """Compute the statistics of a series.

    Args:
        times_s: At least one.

    Returns:
        The statistics; percentiles interpolate linearly.
    """
    q1, q3, p90, p99 = (float(x) for x in np.percentile(times_s, [25, 75, 90, 99]))
    return Summary(
        rounds=len(times_s),
        total=sum(times_s),
        min=min(times_s),
        max=max(times_s),
        mean=statistics.fmean(times_s),
        stddev=statistics.stdev(times_s) if len(times_s) > 1 else 0.0,
        median=statistics.median(times_s),
        q1=q1,
        q3=q3,
        p90=p90,
        p99=p99,
    )


def write_series(path: Path, series: Sequence[Series]) -> None:
    """Write series for `read_series`.

    Args:
        path: The file.
        series: What to write.
    """
    path.write_text(json.dumps([asdict(one) for one in series]))


def read_series(path: Path) -> list[Series]:
    """Read what `write_series` wrote.

    Args:
        path: The file.

    Returns:
        The series.
    """
    return [Series(**one) for one in json.loads(path.read_text())]
