"""Starts a bench's ranks and takes their results; the ranks' own side is rank.py.

The launcher runs inside this process, so a signal or Ctrl-C ends everything as it does for
`ringsyncrun`; what travels between here and the ranks are files in one temporary directory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.load import Load, LoadMeter, processor_time_s
from bench.rank import BARRIER, RESULT, TASK
from bench.series import Series, read_series
from bench.spin import make_barrier_file
from ringsync.launch.cli import main as ringsyncrun

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_MISSING_RESULT = 70  # EX_SOFTWARE of sysexits.h: every rank ended well and none wrote


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the ranks of one run have measured.

    Attributes:
        series: Their measurements.
        load: What others took of the machine meanwhile.
    """

    series: list[Series]
    load: Load


def run_ranks(
    module: str, size: int, task: DataclassInstance, launcher: Sequence[str] = ()
) -> Outcome:
    """Run a module of `bench.ranks` on `size` ranks, to its end.

    Args:
        module: Its last name.
        size: Number of ranks.
        task: What they shall do; its fields are numbers, words and sequences of them.
        launcher: Another library's program that starts `size` ranks, with its options; none:
            ringsync's own.

    Returns:
        What rank 0 delivered.

    Raises:
        SystemExit: A rank failed, or a signal ended the run; its code is the launcher's.
    """
    with tempfile.TemporaryDirectory(prefix="ringsync-bench-") as name:
        directory = Path(name)
        (directory / TASK).write_text(json.dumps(asdict(task)))
        make_barrier_file(directory / BARRIER, size)
        sys.stdout.flush()
        meter = LoadMeter(processor_time_s())
        words = ["-m", f"bench.ranks.{module}", name]
        if launcher:
            status = subprocess.run([*launcher, sys.executable, *words], check=False).returncode
        else:
            status = ringsyncrun(["-np", str(size), *words])
        if status != 0:
            raise SystemExit(status)
        result = directory / RESULT
        if not result.exists():
            raise SystemExit(_MISSING_RESULT)
        return Outcome(read_series(result), meter.read(processor_time_s()))
