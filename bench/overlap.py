"""What the exchange of gradients adds to a training step, and how much of it backward hides.

`python -m bench.overlap --np 2`. The network is the examples' LeNet on the digits; a step is
zero_grad, forward, backward, step.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.command import make_parser, positive, run_command, whole
from bench.machine import cpu_name
from bench.ranks.overlap import Task
from bench.record import write_record
from bench.series import Fact, Series, summarize
from bench.table import Cell, Column, format_table
from bench.world import run_ranks

_MS = 1e3
_DIGITS = 1797  # a larger batch would never be full
_COLUMNS = (
    Column("step"),
    Column("median", "ms"),
    Column("p90", "ms"),
    Column("min", "ms"),
    Column("exposed", "ms"),
    Column("25 %", "ms"),
    Column("75 %", "ms"),
    Column("communication", "ms"),
    Column("overlap"),
    Column("#steps"),
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
    parser = make_parser("bench.overlap", "Training steps with and without the exchange.")
    parser.add_argument("--steps", type=whole, default=200, metavar="N", help="of a kind (200)")
    parser.add_argument(
        "--batch", type=whole, default=64, metavar="N", help="samples of all ranks together (64)"
    )
    parser.add_argument(
        "--bucket-mib",
        type=_bucket_sizes,
        default=(0.0,),
        metavar="MIB,...",
        help="largest buckets to try (the library's own choice)",
    )
    chosen = parser.parse_args(words)
    if not chosen.np <= chosen.batch <= _DIGITS:
        parser.error(
            f"--batch {chosen.batch} does not feed {chosen.np} ranks from {_DIGITS} digits; a "
            f"number in {chosen.np}..{_DIGITS} is expected"
        )
    outcome = run_ranks("overlap", chosen.np, Task(chosen.steps, chosen.batch, chosen.bucket_mib))
    plain, *wrapped = outcome.series
    series = [plain, *(_with_exposed(one, plain) for one in wrapped)]
    print(f"# ringsync LeNet on digits, batch {chosen.batch}, {chosen.np} ranks on {cpu_name()}")
    print(
        "# a step takes as long as on its slowest rank; exposed is the step less the plain one of"
    )
    print(
        "# the same batch, its median and quartiles; overlap is what backward hid of communication"
    )
    print(f"# {outcome.load.describe()}")
    print(format_table(_COLUMNS, [_row(one) for one in series]))
    for one in series[1:]:
        if float(one.facts["exposed_q1_ms"]) <= 0 <= float(one.facts["exposed_q3_ms"]):
            print(f"# {one.name}: what is exposed is not distinguished from noise")
    if chosen.json is not None:
        write_record(chosen.json, "overlap", series)
    return 0


def _bucket_sizes(text: str) -> tuple[float, ...]:
    try:
        return tuple(positive(word) for word in text.split(","))
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, in MiB") from error


def _with_exposed(series: Series, plain: Series) -> Series:
    """Compare step by step: the pairs are of one batch and one moment."""
    exposed_ms = (np.array(series.times_s) - np.array(plain.times_s)) * _MS
    q1, median, q3 = (float(x) for x in np.percentile(exposed_ms, [25, 50, 75]))
    found: dict[str, Fact] = {"exposed_ms": median, "exposed_q1_ms": q1, "exposed_q3_ms": q3}
    return replace(series, facts={**series.facts, **found})


def _row(series: Series) -> list[Cell]:
    summary, facts = summarize(series.times_s), series.facts
    found = ("exposed_ms", "exposed_q1_ms", "exposed_q3_ms", "communication_ms")
    return [
        series.name,
        summary.median * _MS,
        summary.p90 * _MS,
        summary.min * _MS,
        *(facts.get(name, "-") for name in found),
        f"{facts['overlap']:.0%}" if "overlap" in facts else "-",
        summary.rounds,
    ]


if __name__ == "__main__":
    run_command(measure)
