"""Puts a run's figures into a table for people or a list for programs; overlap.py defines them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median

from ringsync.report.overlap import measure_steps, overlap_ratio
from ringsync.report.timeline import RankTimeline

_NS_PER_MS = 1_000_000
_TITLES = (
    "rank", "steps", "step ms", "communication ms", "exposed ms", "overlap %", "waiting ms",
    "idle ms",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RankSummary:
    r"""The figures of one rank; those after `step_ms` are means per step.

    Attributes:
        rank: Its number.
        steps: Complete steps.
        step_ms: Median length of a step.
        communication_ms: |M|.
        exposed_ms: |M \ C|.
        overlap: |C n M| / |M| over all steps together; None without communication.
        waiting_ms: |W \ C|.
        idle_ms: T - |C u M u W|.
        dropped: Events that are missing; the figures are then too low.
    """

    rank: int
    steps: int
    step_ms: float
    communication_ms: float
    exposed_ms: float
    overlap: float | None
    waiting_ms: float
    idle_ms: float
    dropped: int


def summarize(timeline: RankTimeline) -> RankSummary:
    """Sum up one rank.

    Args:
        timeline: Its events.

    Returns:
        Its figures; zeros if it recorded no complete step.
    """
    steps = measure_steps(timeline)

    def mean_ms(values: Sequence[int]) -> float:
        return fmean(values) / _NS_PER_MS if values else 0.0

    return RankSummary(
        rank=timeline.rank,
        steps=len(steps),
        step_ms=median(step.total_ns for step in steps) / _NS_PER_MS if steps else 0.0,
        communication_ms=mean_ms([step.communication_ns for step in steps]),
        exposed_ms=mean_ms([step.exposed_ns for step in steps]),
        overlap=overlap_ratio(steps),
        waiting_ms=mean_ms([step.waiting_ns for step in steps]),
        idle_ms=mean_ms([step.idle_ns for step in steps]),
        dropped=timeline.dropped,
    )


def summary_table(timelines: Sequence[RankTimeline]) -> str:
    """Lay out the figures of all ranks, one line each, with remarks on what is missing.

    Args:
        timelines: One or more ranks of one job.

    Returns:
        Plain text without a final newline.
    """
    summaries = [summarize(timeline) for timeline in timelines]
    rows = [_TITLES, *(_cells(summary) for summary in summaries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    lines += ["", "step ms is the median over the steps, the other times are means per step"]
    missing = sorted(set(range(timelines[0].size)) - {summary.rank for summary in summaries})
    if missing:
        lines.append(f"no file of ranks {missing} of {timelines[0].size}")
    lines += [
        f"rank {summary.rank} dropped {summary.dropped} events: its figures are too low"
        for summary in summaries
        if summary.dropped
    ]
    lines += [
        f"rank {summary.rank} recorded no complete step: call step() on the optimizer"
        for summary in summaries
        if not summary.steps
    ]
    return "\n".join(lines)


def summary_records(timelines: Sequence[RankTimeline]) -> dict[str, object]:
    """Give the figures of all ranks as plain values for JSON.

    Args:
        timelines: One or more ranks of one job.

    Returns:
        `size`, and `ranks` with one dictionary of `RankSummary`'s fields per rank.
    """
    return {
        "size": timelines[0].size,
        "ranks": [asdict(summarize(timeline)) for timeline in timelines],
    }


def _cells(summary: RankSummary) -> tuple[str, ...]:
    overlap = "-" if summary.overlap is None else f"{100 * summary.overlap:.1f}"
    return (
        str(summary.rank),
        str(summary.steps),
        f"{summary.step_ms:.3f}",
        f"{summary.communication_ms:.3f}",
        f"{summary.exposed_ms:.3f}",
        overlap,
        f"{summary.waiting_ms:.3f}",
        f"{summary.idle_ms:.3f}",
    )
