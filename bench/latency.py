"""How long the smallest calls take, and what an engine with nothing to do costs.

`python -m bench.latency --np 2`, `python -m bench.latency --np 2 --idle`; with `--peers`, a
contest. Large arrays are bench.allreduce's matter.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from bench.ceilings.entry import ceiling_entries
from bench.command import (
    add_ceilings,
    add_memory,
    add_peers,
    make_parser,
    positive,
    run_command,
    sizes,
    whole,
)
from bench.contest import Case, Contender, allreduce_case, run_contest
from bench.entrants import PEERS, own_contenders, peer_contenders
from bench.machine import cpu_name
from bench.ranks import idle, latency
from bench.record import write_record
from bench.scores import format_scores, with_ratios
from bench.series import Series, summarize
from bench.table import Cell, Column, format_table
from bench.world import run_ranks

_ITEM_BYTES = 4
_SIZES = "4,64,1KiB,4KiB,16KiB,64KiB"
_US = 1e6
# A process that has called init and sleeps may use less than this: it must be able to wait for a
# day without anyone noticing.
_IDLE_LIMIT_PERCENT = 0.1
_COLUMNS = (
    Column("call"),
    Column("size", "B"),
    Column("memory"),
    Column("median", "us"),
    Column("p90", "us"),
    Column("p99", "us"),
    Column("min", "us"),
    Column("loop", "us"),
    Column("#calls"),
)


def measure(words: Sequence[str]) -> int:
    """Measure and print.

    Args:
        words: The command line without the program's name.

    Returns:
        0.

    Raises:
        SystemExit: The command line cannot be used (2), or a rank failed.
    """
    parser = make_parser("bench.latency", "Small blocking calls, or (--idle) none at all.")
    parser.add_argument("--sizes", type=sizes, default=sizes(_SIZES), help=f"({_SIZES})")
    parser.add_argument("--repeat", type=whole, default=0, metavar="N", help="calls of each kind")
    add_memory(parser, "both")
    parser.add_argument("--idle", action="store_true", help="measure what sleeping ranks use")
    parser.add_argument(
        "--seconds", type=positive, default=5.0, metavar="S", help="how long they sleep (5)"
    )
    add_peers(parser, list(PEERS))
    add_ceilings(parser)
    chosen = parser.parse_args(words)
    if chosen.idle:
        series = _measure_idle(chosen.np, chosen.seconds)
    elif chosen.peers or chosen.ceilings:
        series = _compete(chosen)
    else:
        task = latency.Task(chosen.sizes, chosen.memory, chosen.repeat)
        series = _measure_calls(chosen.np, task)
    if chosen.json is not None:
        write_record(chosen.json, "latency", series)
    return 0


def _compete(chosen: argparse.Namespace) -> list[Series]:
    """Print the mean call of a loop, by size, of all who take part."""
    barrier = replace(allreduce_case(_ITEM_BYTES), name="barrier", workload="barrier", counts=())
    cases = [barrier, *map(allreduce_case, chosen.sizes)]
    contenders = [
        *own_contenders(chosen.np, chosen.memory),
        *peer_contenders(chosen.peers, chosen.peer_python, chosen.np),
    ]
    entries: list[tuple[Contender, Sequence[Case]]] = [(one, cases) for one in contenders]
    if chosen.ceilings:
        entries += ceiling_entries(cases[1:], chosen.memory, chosen.np)
    series = with_ratios(run_contest(entries, chosen.np, chosen.rounds))
    print(f"# blocking calls in a loop, float32, Sum, {chosen.np} ranks on {cpu_name()}")
    print(f"# medians of {chosen.rounds} rounds in which all take turns; ratio < 1: less time")
    print(format_scores(series, markdown=chosen.markdown))
    return series


def _measure_calls(size: int, task: latency.Task) -> list[Series]:
    outcome = run_ranks("latency", size, task)
    print(f"# ringsync, blocking calls back to back, {size} ranks on {cpu_name()}")
    print("# a call takes as long as on its slowest rank; loop is all calls' time by their number")
    print(f"# {outcome.load.describe()}")
    print(format_table(_COLUMNS, [_row(one) for one in outcome.series]))
    return outcome.series


def _row(series: Series) -> list[Cell]:
    summary, facts = summarize(series.times_s), series.facts
    return [
        facts["op"],
        facts["bytes"],
        facts["memory"],
        summary.median * _US,
        summary.p90 * _US,
        summary.p99 * _US,
        summary.min * _US,
        facts["loop_us"],
        summary.rounds,
    ]


def _measure_idle(size: int, seconds: float) -> list[Series]:
    """Let a world sleep, then one process alone, which is a world of another kind."""
    series: list[Series] = []
    for ranks in sorted({1, size}, reverse=True):
        series += run_ranks("idle", ranks, idle.Task(seconds)).series
    for one in series:
        print(_idle_line(one))
    largest = max(float(one.facts["cpu_percent"]) for one in series)
    verdict = (
        f"below {_IDLE_LIMIT_PERCENT} %"
        if largest < _IDLE_LIMIT_PERCENT
        else f"not below {_IDLE_LIMIT_PERCENT} %: the engine does not sleep"
    )
    print(f"idle: largest {largest:.4f} % CPU, {verdict}")
    return series


def _idle_line(series: Series) -> str:
    facts = series.facts
    return (
        f"idle: rank {facts['rank']} of {facts['np']} (pid {facts['pid']}): "
        f"{facts['cpu_percent']:.4f} % CPU, {series.times_s[0] * 1e3:.3f} ms in "
        f"{facts['elapsed_s']:.2f} s, {facts['voluntary_switches']} voluntary context switches"
    )


if __name__ == "__main__":
    run_command(measure)
