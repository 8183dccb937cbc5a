"""Results as a file in the form of pytest-benchmark, which compares such files and plots them.

Which facts a benchmark carries is its bench's matter.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.machine import commit_info, machine_info
from bench.series import Series, Summary, summarize

_FENCE_IQRS = 1.5  # Tukey's: beyond it a value is an outlier


def write_record(path: Path, bench: str, series: Sequence[Series]) -> None:
    """Write the results of one bench.

    Args:
        path: The file; an earlier one is replaced.
        bench: Name of the bench, for example `allreduce`.
        series: The results.

    Raises:
        OSError: It cannot be written.
    """
    record = {
        "machine_info": machine_info(),
        "commit_info": commit_info(),
        "benchmarks": [_benchmark(bench, one) for one in series],
        "datetime": datetime.now(UTC).isoformat(),
        "version": f"ringsync {version('ringsync')}",
    }
    path.write_text(json.dumps(record, indent=4) + "\n")


def _benchmark(bench: str, series: Series) -> dict[str, object]:
    name = f"{bench}[{series.name}]"
    return {
        "group": bench,
        "name": name,
        "fullname": f"bench/{bench}.py::{name}",
        "params": {"case": series.name},
        "param": series.name,
        "extra_info": series.facts,
        "options": {"timer": "perf_counter_ns", "disable_gc": True},
        "stats": _stats(series.times_s, summarize(series.times_s)),
    }


def _stats(times_s: Sequence[float], summary: Summary) -> dict[str, float | int | str]:
    """The fields of pytest_benchmark.stats.Stats; as with --benchmark-save, not the times."""
    iqr = summary.q3 - summary.q1
    low, high = summary.q1 - _FENCE_IQRS * iqr, summary.q3 + _FENCE_IQRS * iqr
    inside = [time_s for time_s in times_s if low <= time_s <= high]
    far = sum(abs(time_s - summary.mean) > summary.stddev for time_s in times_s)
    beyond = len(times_s) - len(inside)
    return {
        "min": summary.min,
        "max": summary.max,
        "mean": summary.mean,
        "stddev": summary.stddev,
        "rounds": summary.rounds,
        "median": summary.median,
        "iqr": iqr,
        "q1": summary.q1,
        "q3": summary.q3,
        "iqr_outliers": beyond,
        "stddev_outliers": far,
        "outliers": f"{far};{beyond}",
        "ld15iqr": min(inside),
        "hd15iqr": max(inside),
        "ops": summary.rounds / summary.total if summary.total else 0.0,
        "total": summary.total,
        "iterations": 1,
    }
