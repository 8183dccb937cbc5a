"""A rank that measures: it joins the run, learns its task, and rank 0 delivers the results.

How things are timed is measure.py; who starts the ranks is world.py.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import ringsync as rs
from bench.load import LoadMeter
from bench.series import Series, write_series
from bench.spin import SpinBarrier

TASK = "task.json"
RESULT = "result.json"
BARRIER = "barrier"
_NS_PER_S = 1e9


class Rank:
    """This process among those that measure."""

    def __init__(self) -> None:
        """Join the run whose directory is the command line's one argument."""
        # Ctrl-C ends a rank without a traceback; there is nothing of its own to put in order.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        self.directory = Path(sys.argv[1])
        rs.init()
        self.rank = rs.rank()
        self.size = rs.size()
        self.barrier = SpinBarrier(self.directory / BARRIER, self.rank, self.size)

    def read_task(self) -> dict[str, Any]:
        """Read the fields of the task that `run_ranks` was given.

        Returns:
            Value by name; sequences are lists.
        """
        task: dict[str, Any] = json.loads((self.directory / TASK).read_text())
        return task

    def slowest_s(self, times_ns: Sequence[int]) -> list[float]:
        """Reduce each iteration to the time of its slowest rank.

        Args:
            times_ns: This rank's; as many on every rank.

        Returns:
            Seconds by iteration, equal on every rank.
        """
        gathered = rs.allgather(np.array([times_ns], np.float64))
        slowest: list[float] = (gathered.max(axis=0) / _NS_PER_S).tolist()
        return slowest

    def watch_load(self) -> LoadMeter:
        """Begin to watch what others take of the machine.

        Returns:
            A meter for `foreign_cores`.
        """
        return LoadMeter(self._own_s())

    def foreign_cores(self, meter: LoadMeter) -> float:
        """Tell what others have taken since.

        Args:
            meter: What `watch_load` gave.

        Returns:
            Cores, programs' and stolen ones, on average.
        """
        load = meter.read(self._own_s())
        return load.programs + load.stolen

    def deliver(self, series: Sequence[Series]) -> None:
        """Hand the results over; those of rank 0 count.

        Args:
            series: All that was measured.
        """
        if self.rank == 0:
            write_series(self.directory / RESULT, series)

    def _own_s(self) -> float:
        """Processor time of all ranks."""
        return float(rs.allreduce(np.array(time.process_time()), op=rs.Sum))
