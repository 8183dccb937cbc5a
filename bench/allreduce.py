"""Speed of an in-place allreduce by size, in the columns of nccl-tests.

`python -m bench.allreduce --np 2`; with `--peers openmpi,mpich` or `--ceilings`, a contest. What a
training step makes of it is bench.overlap's matter.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from bench.ceilings.entry import ceiling_entries
from bench.command import (
    add_ceilings,
    add_memory,
    add_peers,
    make_parser,
    run_command,
    sizes,
    whole,
)
from bench.contest import Case, Contender, allreduce_case, run_contest
from bench.entrants import PEERS, own_contenders, peer_contenders
from bench.machine import cpu_name
from bench.ranks.allreduce import Task
from bench.record import write_record
from bench.scores import format_scores, with_ratios
from bench.series import Series, summarize
from bench.table import Cell, Column, format_table
from bench.units import algorithm_bandwidth, allreduce_bus_factor
from bench.world import run_ranks

_SIZES = "4,1KiB,4KiB,16KiB,64KiB,256KiB,1MiB,4MiB,16MiB,64MiB"
_ITEM_BYTES = 4
_US = 1e6
_COLUMNS = (
    Column("size", "B"),
    Column("count", "elements"),
    Column("type"),
    Column("redop"),
    Column("memory"),
    Column("time", "us"),
    Column("min", "us"),
    Column("p90", "us"),
    Column("algbw", "GB/s"),
    Column("busbw", "GB/s"),
    Column("#wrong"),
    Column("#iters"),
    Column("foreign", "cores"),
)


def measure(words: Sequence[str]) -> int:
    """Measure and print.

    Args:
        words: The command line without the program's name.

    Returns:
        0; 1 if any value was wrong.

    Raises:
        SystemExit: The command line cannot be used (2), or a rank failed.
    """
    parser = make_parser("bench.allreduce", "In-place allreduce of float32, Sum, by size.")
    parser.add_argument("--sizes", type=sizes, default=sizes(_SIZES), help=f"({_SIZES})")
    parser.add_argument("--repeat", type=whole, default=0, metavar="N", help="iterations a size")
    add_memory(parser, "both")
    add_peers(parser, list(PEERS))
    add_ceilings(parser)
    chosen = parser.parse_args(words)
    is_contest = chosen.peers or chosen.ceilings
    wrong = _compete(chosen) if is_contest else _measure_alone(chosen)
    if wrong:
        sys.stderr.write(f"[bench.allreduce] {wrong} values are wrong; 0 are expected.\n")
    return 1 if wrong else 0


def _measure_alone(chosen: argparse.Namespace) -> int:
    """Print nccl-tests' table; the number of wrong values."""
    task = Task(chosen.sizes, chosen.memory, chosen.repeat)
    outcome = run_ranks("allreduce", chosen.np, task)
    series = [_with_bandwidths(one) for one in outcome.series]
    series.sort(key=lambda one: str(one.facts["memory"]))
    print(f"# ringsync allreduce_, in place, {chosen.np} ranks on {cpu_name()}")
    print("# an iteration takes as long as its slowest rank; time is the median iteration")
    print("# foreign: cores taken by others while a size was measured; best believed where near 0")
    print(f"# {outcome.load.describe()}")
    print(format_table(_COLUMNS, [_row(one) for one in series]))
    if chosen.json is not None:
        write_record(chosen.json, "allreduce", series)
    return sum(int(one.facts["wrong"]) for one in series)


def _compete(chosen: argparse.Namespace) -> int:
    """Print medians and ratios of all who take part; ringsync's number of wrong values."""
    cases = [allreduce_case(size_bytes, chosen.repeat) for size_bytes in chosen.sizes]
    contenders = [
        *own_contenders(chosen.np, chosen.memory),
        *peer_contenders(chosen.peers, chosen.peer_python, chosen.np),
    ]
    entries: list[tuple[Contender, Sequence[Case]]] = [(one, cases) for one in contenders]
    if chosen.ceilings:
        entries += ceiling_entries(cases, chosen.memory, chosen.np)
    series = with_ratios(run_contest(entries, chosen.np, chosen.rounds))
    print(f"# allreduce in place, float32, Sum, {chosen.np} ranks on {cpu_name()}")
    print(f"# medians of {chosen.rounds} rounds in which all take turns; ratio < 1: less time")
    print(format_scores(series, markdown=chosen.markdown))
    if chosen.json is not None:
        write_record(chosen.json, "allreduce", series)
    return sum(int(one.facts["wrong"]) for one in series if one.facts["kind"] == "ringsync")


def _with_bandwidths(series: Series) -> Series:
    median_s = summarize(series.times_s).median
    algbw = algorithm_bandwidth(int(series.facts["bytes"]), median_s)
    busbw = algbw * allreduce_bus_factor(int(series.facts["np"]))
    return replace(series, facts=series.facts | {"algbw": algbw, "busbw": busbw})


def _row(series: Series) -> list[Cell]:
    summary, facts = summarize(series.times_s), series.facts
    return [
        facts["bytes"],
        int(facts["bytes"]) // _ITEM_BYTES,
        "float",
        "sum",
        facts["memory"],
        summary.median * _US,
        summary.min * _US,
        summary.p90 * _US,
        facts["algbw"],
        facts["busbw"],
        facts["wrong"],
        summary.rounds,
        float(facts["foreign_cores"]),
    ]


if __name__ == "__main__":
    run_command(measure)
