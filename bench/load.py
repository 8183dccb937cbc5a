"""How busy the machine was with other programs' work: a run that shared its cores proves little.

It only looks; it waits for nothing and slows nothing.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

# Of /proc/stat's first line: user, nice, system, irq, softirq, steal. Guests' time is in user.
_BUSY_COLUMNS = (0, 1, 2, 5, 6, 7)


class ForeignLoad:
    """Counts from its making on."""

    def __init__(self) -> None:
        """Note where the counters stand."""
        self._start_s = time.monotonic()
        self._busy_s = _machine_busy_s()
        self._own_s = _own_busy_s()

    def cores(self) -> float:
        """Tell how many cores others have used since, on average.

        Returns:
            0 where the kernel does not tell. What this process and its ended children used is
            their own.
        """
        elapsed_s = time.monotonic() - self._start_s
        foreign_s = _machine_busy_s() - self._busy_s - (_own_busy_s() - self._own_s)
        return max(0.0, foreign_s / elapsed_s)


def _machine_busy_s() -> float:
    try:
        columns = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    return sum(int(columns[i]) for i in _BUSY_COLUMNS) / os.sysconf("SC_CLK_TCK")


def _own_busy_s() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
