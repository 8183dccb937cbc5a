"""The tables of a contest, for a terminal or as markdown: contenders by row, cases by column.

What the ratios are is ratios.py's matter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.ratios import (
    REFERENCES,
    Ratio,
    Reference,
    bus_bandwidth,
    bus_bandwidths,
    compare,
    medians,
    reached,
)
from bench.series import Fact, Series
from bench.table import Cell, Column, format_markdown, format_table

_US = 1e6
_MISSING = "-"


def with_ratios(
    series: Sequence[Series], references: Sequence[Reference] = REFERENCES
) -> list[Series]:
    """Add bus bandwidths, and to each of ringsync's series its ratios, for the record.

    Args:
        series: Of a contest.
        references: What ringsync is compared with.

    Returns:
        The series, with facts such as `ringsync-private / best peer`.
    """
    ratios = [*compare(series, references), *reached(series)]
    return [replace(one, facts=one.facts | _derived(one, ratios)) for one in series]


def format_scores(
    series: Sequence[Series],
    *,
    markdown: bool,
    references: Sequence[Reference] = REFERENCES,
) -> str:
    """Lay out medians, bus bandwidths, ratios and fractions of the ceiling.

    Args:
        series: Of a contest.
        markdown: Tables for a document rather than a terminal.
        references: What ringsync is compared with.

    Returns:
        Tables; without ratios where nobody took part to compare with.
    """
    cases = list(dict.fromkeys(str(one.facts["case"]) for one in series))
    layout = format_markdown if markdown else format_table
    foreign, dropped = _mean_foreign_cores(series), _turns_dropped(series)
    heads = [Column(case, "us") for case in cases]
    tables = [
        layout(
            [Column("contender"), *heads, Column("foreign", "cores"), Column("dropped", "turns")],
            [
                [name, *_cells(by_case, cases, _US), foreign[name], dropped[name]]
                for name, by_case in medians(series, "ringsync", "ceiling", "peer").items()
            ],
        )
    ]
    if bandwidths := bus_bandwidths(series):
        heads = [Column(case, "GB/s") for case in cases]
        rows = [[name, *_cells(found, cases, 1)] for name, found in bandwidths.items()]
        tables.append(layout([Column("bus bandwidth"), *heads], rows))
    for head, ratios in (
        ("ratio of times", compare(series, references)),
        ("ceiling's time by ringsync's", reached(series)),
    ):
        rows = [[one.name, *_cells(one.by_case, cases, 1)] for one in ratios]
        if rows:
            tables.append(layout([Column(head), *map(Column, cases)], rows))
    return "\n\n".join(tables)


def _derived(series: Series, ratios: Sequence[Ratio]) -> dict[str, Fact]:
    """What follows from a series and the others of its contest."""
    case = str(series.facts["case"])
    found: dict[str, Fact] = {
        ratio.name: ratio.by_case[case]
        for ratio in ratios
        if ratio.contender == series.facts["contender"] and case in ratio.by_case
    }
    return found | ({"busbw": bus_bandwidth(series)} if series.facts["bytes"] else {})


def _mean_foreign_cores(series: Sequence[Series]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for one in series:
        found.setdefault(str(one.facts["contender"]), []).append(float(one.facts["foreign_cores"]))
    return {name: math.fsum(cores) / len(cores) for name, cores in found.items()}


def _turns_dropped(series: Sequence[Series]) -> dict[str, str]:
    """Of a contender's turns those that others disturbed; all its cases share them."""
    return {
        str(one.facts["contender"]): f"{one.facts['turns_dropped']} of {one.facts['turns']}"
        for one in series
    }


def _cells(by_case: Mapping[str, float], cases: Sequence[str], factor: float) -> list[Cell]:
    return [by_case[case] * factor if case in by_case else _MISSING for case in cases]
