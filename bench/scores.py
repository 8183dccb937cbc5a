"""The tables of a contest, for a terminal or as markdown: contenders by row, cases by column.

What the ratios are is ratios.py's matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.ratios import compare, medians
from bench.series import Series
from bench.table import Cell, Column, format_markdown, format_table

_US = 1e6
_MISSING = "-"


def with_ratios(series: Sequence[Series]) -> list[Series]:
    """Add to each of ringsync's series its ratios, for the record.

    Args:
        series: Of a contest.

    Returns:
        The series, with facts such as `ringsync-private / best peer`.
    """
    ratios = compare(series)
    return [
        replace(
            one,
            facts=one.facts
            | {
                ratio.name: ratio.by_case[str(one.facts["case"])]
                for ratio in ratios
                if ratio.name.startswith(f"{one.facts['contender']} /")
                and str(one.facts["case"]) in ratio.by_case
            },
        )
        for one in series
    ]


def format_scores(series: Sequence[Series], *, markdown: bool) -> str:
    """Lay out medians, then ratios.

    Args:
        series: Of a contest.
        markdown: Tables for a document rather than a terminal.

    Returns:
        Two tables; only the first where no peer took part.
    """
    cases = list(dict.fromkeys(str(one.facts["case"]) for one in series))
    layout = format_markdown if markdown else format_table
    times = medians(series, "ringsync") | medians(series, "peer")
    foreign: dict[str, float] = {
        str(one.facts["contender"]): float(one.facts["foreign_cores"]) for one in series
    }
    tables = [
        layout(
            [
                Column("contender"),
                *(Column(case, "us") for case in cases),
                Column("foreign", "cores"),
            ],
            [
                [name, *_cells(by_case, cases, _US), foreign[name]]
                for name, by_case in times.items()
            ],
        )
    ]
    if ratios := compare(series):
        tables.append(
            layout(
                [Column("ratio"), *map(Column, cases)],
                [[one.name, *_cells(one.by_case, cases, 1)] for one in ratios],
            )
        )
    return "\n\n".join(tables)


def _cells(by_case: Mapping[str, float], cases: Sequence[str], factor: float) -> list[Cell]:
    return [by_case[case] * factor if case in by_case else _MISSING for case in cases]
