"""One rank of `bench.latency --idle`: calls `init`, then sleeps and counts what that costs.

Whatever this process uses while its one Python thread sleeps, the engine uses.
"""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass

import ringsync as rs
from bench.rank import Rank
from bench.series import Fact, Series


@dataclass(frozen=True, slots=True)
class Task:
    """What to measure.

    Attributes:
        seconds: How long to sleep.
    """

    seconds: float


def main() -> None:
    """Sleep and deliver one series per rank: a single time, the processor's."""
    rank = Rank()
    task = Task(**rank.read_task())
    rs.barrier()  # the engine has worked, and no rank is still starting
    if rank.rank == 0:
        print(f"idle: {rank.size} rank(s) sleep for {task.seconds:g} s", flush=True)
    own = _sleep(rank, task.seconds)
    rank.deliver(rs.allgather_object(own))


def _sleep(rank: Rank, seconds: float) -> Series:
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    start_s, used_ns = time.monotonic(), time.process_time_ns()
    time.sleep(seconds)  # what is measured is the engine meanwhile
    used_s = (time.process_time_ns() - used_ns) / 1e9
    elapsed_s = time.monotonic() - start_s
    after = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    facts: dict[str, Fact] = {
        "rank": rank.rank,
        "np": rank.size,
        "pid": os.getpid(),
        "elapsed_s": elapsed_s,
        "cpu_percent": 100 * used_s / elapsed_s,
        "voluntary_switches": after - switches,
    }
    return Series(f"idle-{rank.rank}of{rank.size}", [used_s], facts)


if __name__ == "__main__":
    main()
