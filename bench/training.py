"""`bench.overlap --peers`: what ringsync and others expose around one torch network's backward.

Its options are overlap.py's; what a rank does is ranks/training.py's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from bench.entrants import PEERS, find_missing
from bench.exposure import PLAIN, compare_exposed
from bench.machine import cpu_name
from bench.series import Series, summarize
from bench.shapes import model_shapes
from bench.table import Cell, Column, format_table
from bench.world import run_ranks

OWN = "ringsync"
# What each contender must find installed, by this interpreter, which starts all ranks.
_PACKAGES = {
    "none": ("torch",),
    "ddp": ("torch",),
    "ddp-views": ("torch",),
    "horovod": PEERS["horovod"].packages,
}
NAMES = tuple(_PACKAGES)
_ITEM_BYTES = 4
_MB, _MS, _US = 1e6, 1e3, 1e6
_ALONE_STEPS = 10  # the plain step at size 1, beside which the wrapper's calls are far below 1 %
_COLUMNS = (
    Column("gradients"),
    Column("step"),
    Column("median", "ms"),
    Column("p90", "ms"),
    Column("min", "ms"),
    Column("exposed", "ms"),
    Column("25 %", "ms"),
    Column("75 %", "ms"),
    Column("#steps"),
)


@dataclass(frozen=True, slots=True)
class Task:
    """What to measure.

    Attributes:
        steps: Timed steps of each kind.
        batch: Samples of a step, of all ranks of a contender together.
        threads: Of torch in each rank.
        shape: Model whose parameters' shapes the network has.
        contenders: Names for `make_trainee`; each has as many of the run's ranks.
        counts_wrapper: Time what the wrapper's own calls take, too.
    """

    steps: int
    batch: int
    threads: int
    shape: str
    contenders: Sequence[str]
    counts_wrapper: bool


def measure_peers(
    peers: Sequence[str], shapes: Sequence[str], size: int, steps: int, batch: int
) -> list[Series]:
    """Measure and print; a peer that is not installed is skipped with a line on stderr.

    Args:
        peers: Of `NAMES`.
        shapes: Models, names in shapes.py.
        size: Number of ranks.
        steps: Timed steps of each kind.
        batch: Samples of a step, of all ranks together.

    Returns:
        All that was measured; nothing if no peer is installed.

    Raises:
        SystemExit: A rank failed.
    """
    found = [peer for peer in peers if _is_installed(peer)]
    if not found:
        return []
    others = [peer for peer in found if peer != "none"]
    series: list[Series] = []
    for shape in shapes:
        series += _measure_model(shape, others, size, steps, batch)
    return series


def _is_installed(peer: str) -> bool:
    missing = find_missing(Path(sys.executable), _PACKAGES[peer])
    if missing:
        sys.stderr.write(f"[bench] {peer} is skipped: {missing}\n")
    return not missing


def _measure_model(
    shape: str, others: Sequence[str], size: int, steps: int, batch: int
) -> list[Series]:
    contenders = (PLAIN, OWN, *others)
    task = Task(steps, batch, _threads(size), shape, contenders, counts_wrapper=False)
    processes = size * len(contenders)
    outcome = run_ranks("training", processes, task, _launcher(others, processes))
    series = compare_exposed(outcome.series, OWN, others)
    tensors = model_shapes(shape)
    size_mb = sum(map(prod, tensors)) * _ITEM_BYTES / _MB
    print(
        f"# torch chain with the parameters of {shape}: {len(tensors)} tensors, {size_mb:.0f} MB; "
        f"SGD, batch {batch}, {size} ranks on {cpu_name()}"
    )
    print(
        "# a step takes as long as on its slowest rank; exposed is the step less the plain one of"
    )
    print("# the same turn, its median and quartiles; gradients are dropped by zero_grad() or kept")
    print("# by zero_grad(set_to_none=False)")
    print(f"# {outcome.load.describe()}")
    print(format_table(_COLUMNS, [_row(one) for one in series]))
    for one in series:
        for peer in others:
            if (ratio := one.facts.get(f"{OWN} / {peer}")) is not None:
                print(f"# {one.facts['gradients']}: exposed, {OWN} / {peer}: {ratio:.2f}")
    return [*series, *_measure_wrapper(shape, batch, size)]


def _measure_wrapper(shape: str, batch: int, size: int) -> list[Series]:
    """The wrapper's own calls, in a world of one with one rank's share of the batch."""
    share = -(-batch // size)
    task = Task(_ALONE_STEPS, share, _threads(1), shape, (PLAIN,), counts_wrapper=True)
    *alone, wrapper = run_ranks("training", 1, task).series
    plain = next(one for one in alone if one.facts["gradients"] == "kept")
    cost_s, step_s = summarize(wrapper.times_s).median, summarize(plain.times_s).median
    calls = ", ".join(f"{wrapper.facts[name]} {name}" for name in ("hooks", "zero_grad", "step"))
    print(
        f"# the wrapper at size 1: {calls} in a step, {cost_s * _US:.1f} us together, "
        f"{cost_s / step_s:.3%} of the plain step's {step_s * _MS:.1f} ms"
    )
    facts = {**wrapper.facts, "plain_ms": step_s * _MS, "share": cost_s / step_s}
    return [Series(f"{shape}-wrapper", wrapper.times_s, facts)]


def _threads(size: int) -> int:
    """A core for each; with more threads than cores they would wait for one another."""
    return max(1, len(os.sched_getaffinity(0)) // size)


def _launcher(others: Sequence[str], size: int) -> list[str]:
    """Horovod finds its ranks only under its own launcher; ringsync finds them under any."""
    if "horovod" not in others:
        return []
    place = str(Path(sys.executable).parent)
    return [
        word.replace("{np}", str(size)).replace("{bin}", place)
        for word in PEERS["horovod"].launcher
    ]


def _row(series: Series) -> list[Cell]:
    summary, facts = summarize(series.times_s), series.facts
    return [
        str(facts["gradients"]),
        str(facts["contender"]),
        summary.median * _MS,
        summary.p90 * _MS,
        summary.min * _MS,
        *(facts.get(name, "-") for name in ("exposed_ms", "exposed_q1_ms", "exposed_q3_ms")),
        summary.rounds,
    ]
