"""What must not grow or wait in a long program, measured once each.

`python -m bench.steady --np 2`: worlds that come and go in one process, ten thousand names, and a
group whose operations must not wait for those of another.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.command import make_parser, positive, run_command, whole
from bench.machine import cpu_name
from bench.ranks import steady
from bench.record import write_record
from bench.series import Series, summarize
from bench.world import run_ranks

_MS, _US = 1e3, 1e6


def measure(words: Sequence[str]) -> int:
    """Measure and print.

    Args:
        words: The command line without the program's name.

    Returns:
        0.

    Raises:
        SystemExit: The command line cannot be used (2), or a rank failed.
    """
    parser = make_parser("bench.steady", "What must not grow or wait in a long program.")
    parser.add_argument("--cycles", type=whole, default=105, metavar="N", help="worlds (105)")
    parser.add_argument("--names", type=whole, default=10_000, metavar="N", help="names (10000)")
    parser.add_argument(
        "--seconds", type=positive, default=5.0, metavar="S", help="how long a group waits (5)"
    )
    chosen = parser.parse_args(words)
    task = steady.Task(chosen.cycles, chosen.names, chosen.seconds)
    outcome = run_ranks("steady", chosen.np, task)
    print(f"# {chosen.np} ranks on {cpu_name()}; {outcome.load.describe()}")
    for one in outcome.series:
        print(_DESCRIBE[one.name](one))
    if chosen.json is not None:
        write_record(chosen.json, "steady", outcome.series)
    return 0


def _describe_cycles(series: Series) -> str:
    summary = summarize(series.times_s)
    return (
        f"cycles: {summary.rounds} of init and shutdown in {summary.total:.2f} s, median "
        f"{summary.median * _MS:.1f} ms"
    )


def _describe_names(series: Series) -> str:
    count = max(1, len(series.times_s) // 10)
    first, last = (
        summarize(part).median for part in (series.times_s[:count], series.times_s[-count:])
    )
    return (
        f"names: {len(series.times_s)}; an operation takes {first * _US:.2f} us in the first "
        f"tenth, {last * _US:.2f} us in the last: {last / first:.2f}"
    )


def _describe_groups(series: Series) -> str:
    summary = summarize(series.times_s)
    return (
        f"groups: {summary.rounds} operations of {series.facts['free']} while one of "
        f"{series.facts['held']} waits {series.facts['seconds']:g} s: median "
        f"{summary.median * _MS:.3f} ms, longest {summary.max * _MS:.3f} ms"
    )


_DESCRIBE = {
    "cycles": _describe_cycles,
    "names": _describe_names,
    "same-ranks": _describe_groups,
    "other-ranks": _describe_groups,
}


if __name__ == "__main__":
    run_command(measure)
