"""What the exchange of gradients adds to a training step, and how much of it backward hides.

`python -m bench.overlap --np 2`. The network is the examples' LeNet on the digits; a step is
zero_grad, forward, backward, step. `--peers ddp,ddp-views,horovod` takes a torch network of a known
model's shapes instead, and compares what `ringsync.torch` exposes with what others do.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bench.command import Parser, make_parser, names, positive, run_command, whole
from bench.exposure import with_exposed
from bench.machine import cpu_name
from bench.ranks.overlap import Task
from bench.record import write_record
from bench.series import Series, summarize
from bench.shapes import SHAPES
from bench.table import Cell, Column, format_table
from bench.training import NAMES, measure_peers
from bench.world import run_ranks

_MS = 1e3
_DIGITS = 1797  # a larger batch would never be full
_STEPS, _PEER_STEPS = 200, 30  # a step of LeNet takes milliseconds, one of BERT's shapes a second
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
    parser = _make_parser()
    chosen = parser.parse_args(words)
    _check(parser, chosen)
    if chosen.peers:
        steps = chosen.steps or _PEER_STEPS
        series = measure_peers(chosen.peers, chosen.shapes, chosen.np, steps, chosen.batch)
    else:
        steps = chosen.steps or _STEPS
        series = _measure_lenet(Task(steps, chosen.batch, chosen.bucket_mib), chosen.np)
    if chosen.json is not None and series:
        write_record(chosen.json, "overlap", series)
    return 0


def _make_parser() -> Parser:
    parser = make_parser("bench.overlap", "Training steps with and without the exchange.")
    parser.add_argument(
        "--steps",
        type=whole,
        default=0,
        metavar="N",
        help=f"of a kind ({_STEPS}; with --peers {_PEER_STEPS})",
    )
    parser.add_argument(
        "--batch", type=whole, default=64, metavar="N", help="samples of all ranks together (64)"
    )
    parser.add_argument(
        "--bucket-mib",
        type=_bucket_sizes,
        default=(0.0,),
        metavar="MIB,...",
        help="largest buckets to try (the library's own choice); not with --peers",
    )
    parser.add_argument(
        "--peers",
        type=lambda text: names(text, NAMES),
        default=(),
        metavar="NAMES",
        help=f"train a torch network, and with these, too, in turn: {','.join(NAMES)}",
    )
    parser.add_argument(
        "--shapes",
        type=lambda text: names(text, tuple(SHAPES)),
        default=("resnet50",),
        metavar="NAMES",
        help=f"of that network's parameters: {','.join(SHAPES)} (resnet50)",
    )
    return parser


def _check(parser: Parser, chosen: argparse.Namespace) -> None:
    if chosen.peers and any(chosen.bucket_mib):
        parser.error("--bucket-mib is not for --peers; set RINGSYNC_BUCKET_MIB instead")
    if chosen.peers and chosen.batch < chosen.np:
        parser.error(
            f"--batch {chosen.batch} does not feed {chosen.np} ranks; a number from {chosen.np} "
            "is expected"
        )
    if not (chosen.peers or chosen.np <= chosen.batch <= _DIGITS):
        parser.error(
            f"--batch {chosen.batch} does not feed {chosen.np} ranks from {_DIGITS} digits; a "
            f"number in {chosen.np}..{_DIGITS} is expected"
        )


def _measure_lenet(task: Task, size: int) -> list[Series]:
    outcome = run_ranks("overlap", size, task)
    plain, *wrapped = outcome.series
    series = [plain, *(with_exposed(one, plain) for one in wrapped)]
    print(f"# ringsync LeNet on digits, batch {task.batch}, {size} ranks on {cpu_name()}")
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
    return series


def _bucket_sizes(text: str) -> tuple[float, ...]:
    try:
        return tuple(positive(word) for word in text.split(","))
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, in MiB") from error


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
