"""Libraries measured against each other: in every round each has its turn, in fresh processes.

Who takes part is entrants.py's matter; what a rank does is ranks/contest.py's.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from bench.load import LoadMeter, processor_time_s
from bench.process import Ending, run_program
from bench.series import Series
from bench.spin import make_barrier_file
from bench.units import format_size

TASK = "task.json"
BARRIER = "barrier"
ROOT = Path(__file__).resolve().parents[1]
_ITEM_BYTES = 4
_DEADLINE_S = 300.0  # a turn takes seconds; with more ranks than cores some libraries collapse
_MIB = 2**20
# Up to here a sample is a loop of calls: a barrier would wake helper threads that libraries keep.
_LOOP_BYTES = _MIB
_SAMPLES_PER_LOOP_CASE = 7
# Others' share beyond which a turn says more about them than about the library.
_CLEAN_CORES = 0.15
_LEAST_CLEAN_TURNS = 2

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is timed.

    Attributes:
        name: For tables, for example `1KiB`.
        workload: What is done with the arrays, a name in ranks/workloads.py.
        counts: Elements of each array.
        samples: Times that one turn takes.
        calls: Calls in a sample: with 1, ranks meet before each; else they follow each other.
    """

    name: str
    workload: str
    counts: tuple[int, ...]
    samples: int
    calls: int

    @property
    def size_bytes(self) -> int:
        """Bytes of all arrays."""
        return sum(self.counts) * _ITEM_BYTES


@dataclass(frozen=True, slots=True)
class Contender:
    """One library in one setting.

    Attributes:
        name: For tables, for example `openmpi-tuned`.
        kind: `ringsync`, `peer` or `ceiling`.
        library: What its ranks import, a module of bench.peers; a ceiling's own name.
        command: Starts all ranks; the directory of the turn is added to it.
        memory: Where its arrays lie: `private` or `registered`.
        family: Of a peer: its name in entrants.py, whatever its setting.
        variables: Environment beyond this process's.
        most_samples: Of a case in one turn; a library of milliseconds needs no more.
    """

    name: str
    kind: str
    library: str
    command: tuple[str, ...]
    memory: str = "private"
    family: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    most_samples: int = 10**6


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn of one contender has shown about one case.

    Attributes:
        times_s: A time per sample.
        wrong: Number of wrong values.
        foreign_cores: What others took of the machine meanwhile.
    """

    times_s: Sequence[float]
    wrong: int
    foreign_cores: float


Tallies = Mapping[tuple[str, str], list[Turn]]


def allreduce_case(size_bytes: int, samples: int = 0) -> Case:
    """Plan how one size of a single array is timed.

    Args:
        size_bytes: Of the array.
        samples: Times that a turn takes; 0: as many as suit the size.

    Returns:
        The case.
    """
    counts = (size_bytes // _ITEM_BYTES,)
    if size_bytes <= _LOOP_BYTES:
        calls = max(20, min(200, 32 * _MIB // size_bytes))
        samples = samples or _SAMPLES_PER_LOOP_CASE
    else:
        calls = 1
        samples = samples or max(5, min(20, 512 * _MIB // size_bytes))
    return Case(format_size(size_bytes), "allreduce", counts, samples, calls)


def run_contest(
    entries: Sequence[tuple[Contender, Sequence[Case]]], size: int, rounds: int
) -> list[Series]:
    """Let all contenders take turns; a peer that fails is out, and a line says so.

    Args:
        entries: Contenders, each with its cases.
        size: Number of ranks.
        rounds: Turns of each.

    Returns:
        A series per contender and case, of all rounds' times.

    Raises:
        SystemExit: ringsync itself failed.
    """
    tallies: Tallies = {(who.name, case.name): [] for who, cases in entries for case in cases}
    out: set[str] = set()
    for round_ in range(rounds):
        for who, cases in rotate(entries, round_):
            if who.name in out:
                continue
            ending = _take_turn(who, cases, size, tallies)
            if ending.status == 0:
                continue
            sys.stderr.write(f"[bench] {who.name} ended with {ending.status}: {ending.output}\n")
            if who.kind == "ringsync":
                raise SystemExit(1)
            out.add(who.name)
    return [
        _series(who, case, size, tallies[who.name, case.name])
        for who, cases in entries
        for case in cases
        if tallies[who.name, case.name]
    ]


def rotate(entries: Sequence[_T], round_: int) -> list[_T]:
    """Order the turns of a round, so that nobody is always first or always last.

    Args:
        entries: In the order of round 0.
        round_: Number of the round.

    Returns:
        All of them, each round beginning with another one.
    """
    first = round_ % len(entries)
    return [*entries[first:], *entries[:first]]


def choose_turns(turns: Sequence[Turn]) -> list[Turn]:
    """Leave out the turns that others disturbed, where enough are left without them.

    Args:
        turns: Of one contender and case.

    Returns:
        The clean ones if there are two; otherwise all.
    """
    clean = [turn for turn in turns if turn.foreign_cores <= _CLEAN_CORES]
    return clean if len(clean) >= _LEAST_CLEAN_TURNS else list(turns)


def _take_turn(who: Contender, cases: Sequence[Case], size: int, tallies: Tallies) -> Ending:
    with tempfile.TemporaryDirectory(prefix="ringsync-bench-") as name:
        directory = Path(name)
        task = {
            "library": who.library,
            "memory": who.memory,
            "cases": [
                asdict(case) | {"samples": min(case.samples, who.most_samples)} for case in cases
            ],
        }
        (directory / TASK).write_text(json.dumps(task))
        make_barrier_file(directory / BARRIER, size)
        meter = LoadMeter(processor_time_s())
        ending = run_program([*who.command, name], who.variables, ROOT, _DEADLINE_S)
        load = meter.read(processor_time_s())
        if ending.status == 0:
            for case, times_s, wrong in merge_ranks(directory):
                turn = Turn(times_s, wrong, load.programs + load.stolen)
                tallies[who.name, case].append(turn)
        return ending


def merge_ranks(directory: Path) -> list[tuple[str, list[float], int]]:
    """Reduce what the ranks of a turn wrote: a sample takes as long as on its slowest rank.

    Args:
        directory: Of the turn.

    Returns:
        Of each case its name, its samples in seconds, and the number of wrong values.
    """
    ranks = [json.loads(path.read_text()) for path in sorted(directory.glob("rank-*.json"))]
    return [
        (
            reports[0]["name"],
            [max(times) for times in zip(*(one["times_s"] for one in reports), strict=True)],
            sum(one["wrong"] for one in reports),
        )
        for reports in zip(*ranks, strict=True)
    ]


def _series(who: Contender, case: Case, size: int, turns: Sequence[Turn]) -> Series:
    chosen = choose_turns(turns)
    return Series(
        f"{who.name}-{case.name}",
        [time_s for turn in chosen for time_s in turn.times_s],
        {
            "contender": who.name,
            "kind": who.kind,
            "family": who.family,
            "case": case.name,
            "workload": case.workload,
            "memory": who.memory,
            "bytes": case.size_bytes,
            "np": size,
            "wrong": sum(turn.wrong for turn in turns),
            "foreign_cores": sum(turn.foreign_cores for turn in chosen) / len(chosen),
            "turns": len(turns),
            "turns_dropped": len(turns) - len(chosen),
        },
    )
