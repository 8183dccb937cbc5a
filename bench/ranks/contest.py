"""One rank of a contest: it joins through one library, times its cases, and writes a file.

It runs in the interpreter where that library is installed, so it imports no other.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.contest import BARRIER, TASK
from bench.measure import Action, collector_paused, time_loop, time_together
from bench.peers.library import Floats, Library
from bench.ranks.workloads import WORKLOADS
from bench.spin import SpinBarrier

_NS_PER_S = 1e9


class Meeting:
    """Where ranks meet before a sample: first by the library itself, then exactly."""

    def __init__(self, library: Library, path: Path) -> None:
        """Join.

        Args:
            library: What the ranks are measured with.
            path: The spin barrier's file.
        """
        self._library = library
        self._spin = SpinBarrier(path, library.rank, library.size)
        # A rank that waits outside MPI makes no progress for the others: with fewer cores than
        # ranks that stopped MPICH for ever. There the library's barrier must do.
        self._is_exact = library.size <= len(os.sched_getaffinity(0))

    def wait(self) -> None:
        """Return once every rank has called this as often."""
        self._library.barrier()
        if self._is_exact:
            self._spin.wait()


def main() -> None:
    """Time all cases and write what was found."""
    directory = Path(sys.argv[1])
    task = json.loads((directory / TASK).read_text())
    library = _join(task["library"], task["memory"])
    meeting = Meeting(library, directory / BARRIER)
    with collector_paused():  # once: a collection leaves other lines in the caches
        reports = [_measure(library, meeting, case) for case in task["cases"]]
    library.barrier()
    (directory / f"rank-{library.rank}.json").write_text(json.dumps(reports))


def _join(name: str, memory: str) -> Library:
    module = importlib.import_module(f"bench.peers.{name}")
    library: Library = module.World(memory) if name == "own" else module.World()
    return library


def _measure(library: Library, meeting: Meeting, case: dict[str, Any]) -> dict[str, Any]:
    arrays = library.make_arrays(case["counts"])
    call = WORKLOADS[case["workload"]](library, arrays)
    wrong = _count_wrong(library, call, arrays)
    if case["calls"] > 1:
        _fill(arrays, 0)  # zeros stay zeros, however often they are summed
        time_loop(call, meeting, case["calls"])
        totals = [time_loop(call, meeting, case["calls"]) for _ in range(case["samples"])]
        times_s = [total / case["calls"] / _NS_PER_S for total in totals]
    else:
        # Each call finds values just written, as gradients are.
        times_ns = time_together(call, lambda: _fill(arrays, 1), meeting, case["samples"])
        times_s = [time_ns / _NS_PER_S for time_ns in times_ns]
        wrong += _wrong_in(library, arrays)
    return {"name": case["name"], "times_s": times_s, "wrong": wrong}


def _count_wrong(library: Library, call: Action, arrays: Sequence[Floats]) -> int:
    _fill(arrays, library.rank + 1)
    call()
    expected = library.size * (library.size + 1) // 2
    return sum(int(np.count_nonzero(array != expected)) for array in arrays)


def _wrong_in(library: Library, arrays: Sequence[Floats]) -> int:
    return sum(int(np.count_nonzero(array != library.size)) for array in arrays)


def _fill(arrays: Sequence[Floats], value: float) -> None:
    for array in arrays:
        array.fill(value)


if __name__ == "__main__":
    main()
