"""Draws a record of a bench: times by size as lines, or by case as bars.

`python -m bench.plot FILE.json -o out.png`. It needs matplotlib, which the extra `bench` brings.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.command import Parser, run_command
from bench.units import parse_size

_US = 1e6
_UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h
Points = Mapping[str, Mapping[str, tuple[int, float]]]


def draw(words: Sequence[str]) -> int:
    """Draw.

    Args:
        words: The command line without the program's name.

    Returns:
        0; 69 without matplotlib.

    Raises:
        SystemExit: The command line cannot be used (2).
    """
    parser = Parser(prog="bench.plot", usage="python -m bench.plot FILE.json -o out.png")
    parser.add_argument("record", type=Path, metavar="FILE.json", help="from --json")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    chosen = parser.parse_args(words)
    try:
        record = json.loads(chosen.record.read_text())
        points = read_points(record)
    except (OSError, ValueError, KeyError) as error:
        parser.error(f"{chosen.record} is no record of a bench: {error!r}")
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra brings it
    except ImportError:
        sys.stderr.write(
            "[bench.plot] matplotlib is not installed. Run pip install 'ringsync[bench]'.\n"
        )
        return _UNAVAILABLE
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    if has_sizes(points):
        _draw_lines(axes, points)
    else:
        _draw_bars(axes, points)
    axes.set(ylabel="median (us)", yscale="log", title=record["machine_info"]["cpu"]["brand_raw"])
    axes.legend(fontsize="small")
    figure.savefig(chosen.output)
    return 0


def read_points(record: Mapping[str, Any]) -> Points:
    """Collect medians from a record.

    Args:
        record: What a bench's --json wrote.

    Returns:
        Bytes and microseconds, by contender (or kind of memory, or benchmark) and case.

    Raises:
        KeyError: It is no such record.
    """
    found: dict[str, dict[str, tuple[int, float]]] = {}
    for one in record["benchmarks"]:
        facts = one["extra_info"]
        contender = facts.get("contender", facts.get("memory", one["group"]))
        case = facts.get("case", one["param"])
        point = int(facts.get("bytes", 0)), one["stats"]["median"] * _US
        found.setdefault(str(contender), {})[str(case)] = point
    return found


def has_sizes(points: Points) -> bool:
    """Tell whether lines by size can be drawn.

    Args:
        points: Of a record.

    Returns:
        Whether cases are named after sizes, as models are not, and there are several.
    """
    cases = {case for by_case in points.values() for case, (size, _) in by_case.items() if size}
    return len(cases) > 1 and all(map(_is_size, cases))


def _is_size(case: str) -> bool:
    try:
        parse_size(case.rpartition("-")[2])
    except ValueError:
        return False
    return True


def _draw_lines(axes: Any, points: Points) -> None:  # noqa: ANN401 - matplotlib may be absent
    for contender, by_case in points.items():
        sizes, times_us = zip(*sorted(point for point in by_case.values() if point[0]), strict=True)
        is_ours = contender.startswith("ringsync")
        axes.plot(sizes, times_us, "o-", label=contender, linewidth=2.5 if is_ours else 1)
    axes.set_xscale("log", base=2)
    axes.set_xlabel("bytes")


def _draw_bars(axes: Any, points: Points) -> None:  # noqa: ANN401 - matplotlib may be absent
    cases = list(dict.fromkeys(case for by_case in points.values() for case in by_case))
    width = 0.8 / len(points)
    for i, (contender, by_case) in enumerate(points.items()):
        places = [cases.index(case) + i * width for case in by_case]
        axes.bar(places, [time_us for _, time_us in by_case.values()], width, label=contender)
    axes.set_xticks([i + 0.4 for i in range(len(cases))], cases)


if __name__ == "__main__":
    run_command(draw)
