"""How busy the machine was with other work: a run that shared its cores proves little.

It only looks; it waits for nothing and slows nothing.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

# Of /proc/stat's first line: user, nice, system, irq, softirq. Guests' time is in user.
_BUSY_COLUMNS = (0, 1, 2, 5, 6)
_STEAL_COLUMN = 7


@dataclass(frozen=True, slots=True)
class Load:
    """What others took of this machine.

    Attributes:
        programs: Cores that other programs used, on average.
        stolen: Cores that the hypervisor gave to other machines, on average.
    """

    programs: float
    stolen: float

    def describe(self) -> str:
        """Say it in a line.

        Returns:
            A sentence without its full stop.
        """
        return (
            f"meanwhile other programs used {self.programs:.2f} cores, "
            f"and the hypervisor took {self.stolen:.2f}"
        )


class LoadMeter:
    """Counts from its making on."""

    def __init__(self, own_s: float) -> None:
        """Note where the counters stand.

        Args:
            own_s: Processor time that the measured processes have used so far.
        """
        self._start_s = time.monotonic()
        self._own_s = own_s
        self._busy_s, self._stolen_s = _machine_times_s()

    def read(self, own_s: float) -> Load:
        """Tell what others have used since.

        Args:
            own_s: Processor time that the measured processes have used so far.

        Returns:
            Zeros where the kernel does not tell.
        """
        elapsed_s = time.monotonic() - self._start_s
        busy_s, stolen_s = _machine_times_s()
        foreign_s = busy_s - self._busy_s - (own_s - self._own_s)
        return Load(max(0.0, foreign_s / elapsed_s), (stolen_s - self._stolen_s) / elapsed_s)


def processor_time_s() -> float:
    """Tell what this process and its children that have ended have used.

    Returns:
        Seconds of processor time.
    """
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _machine_times_s() -> tuple[float, float]:
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    times_s = [int(word) / os.sysconf("SC_CLK_TCK") for word in words]
    return sum(times_s[i] for i in _BUSY_COLUMNS), times_s[_STEAL_COLUMN]
