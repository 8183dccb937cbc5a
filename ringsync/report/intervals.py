"""Sets of time as sorted, disjoint, half-open intervals; pure functions on whole nanoseconds.

It knows no events: overlap.py says which spans make up which set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Interval = tuple[int, int]
IntervalSet = Sequence[Interval]  # sorted, disjoint, none of them empty, none touching the next


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Merge any intervals into a set; what overlaps counts once.

    Args:
        intervals: (start, end) pairs in any order; empty ones vanish.

    Returns:
        The set of all points covered.
    """
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if end <= start:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def intersect(first: IntervalSet, second: IntervalSet) -> list[Interval]:
    """Keep the points that are in both sets."""
    both: list[Interval] = []
    i = j = 0
    while i < len(first) and j < len(second):
        start, end = max(first[i][0], second[j][0]), min(first[i][1], second[j][1])
        if start < end:
            both.append((start, end))
        if first[i][1] <= second[j][1]:
            i += 1
        else:
            j += 1
    return both


def subtract(first: IntervalSet, second: IntervalSet) -> list[Interval]:
    """Keep the points of `first` that are not in `second`."""
    if not first:
        return []
    edges = [first[0][0], *(edge for interval in second for edge in interval), first[-1][1]]
    gaps = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]
    return intersect(first, gaps)


def length(intervals: IntervalSet) -> int:
    """Add up the lengths of a set."""
    return sum(end - start for start, end in intervals)
