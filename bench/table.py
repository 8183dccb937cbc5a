"""Tables for a terminal: columns as wide as they need, numbers flush right.

It knows nothing of what the columns mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Cell = str | int | float
_GAP = "  "
_THREE_DIGITS = ((100.0, 0), (10.0, 1), (0.0, 2))  # of a measured time more is noise


@dataclass(frozen=True, slots=True)
class Column:
    """One column's head.

    Attributes:
        name: What it holds.
        unit: In which unit; may be empty.
    """

    name: str
    unit: str = ""


def format_table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> str:
    """Lay out a table under two comment lines, as nccl-tests does.

    Args:
        columns: Heads.
        rows: A cell per column; floats are shown with three significant digits or so.

    Returns:
        Lines without a final line end.
    """
    heads = [
        [column.name for column in columns],
        [column.unit and f"({column.unit})" for column in columns],
    ]
    body = [[_text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*heads, *body, strict=True)]
    lines = [
        (
            mark + _GAP.join(text.rjust(width) for text, width in zip(line, widths, strict=True))
        ).rstrip()
        for mark, line in [*(("# ", head) for head in heads), *(("  ", line) for line in body)]
    ]
    return "\n".join(lines)


def format_markdown(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> str:
    """Lay out a table for a document.

    Args:
        columns: Heads.
        rows: A cell per column; floats as in `format_table`.

    Returns:
        Lines without a final line end.
    """
    head = [f"{one.name} ({one.unit})" if one.unit else one.name for one in columns]
    lines = [head, ["---"] * len(columns), *([_text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(cell: Cell) -> str:
    if not isinstance(cell, float):
        return str(cell)
    digits = next(digits for least, digits in _THREE_DIGITS if abs(cell) >= least)
    return f"{cell:.{digits}f}"
