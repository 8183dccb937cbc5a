"""How many threads NumPy's libraries use in a rank: its share of the cores.

The launcher does the same by environment variables before Python starts; this is for ranks that
were started otherwise.
"""

from __future__ import annotations

import logging
import os

import threadpoolctl  # type: ignore[import-untyped]  # it ships no annotations

from ringsync.config import Settings
from ringsync.world import World

_LOGGER = logging.getLogger("ringsync")


def limit_threads(world: World, settings: Settings) -> None:
    """Share the cores among the ranks of this host, unless the user has decided.

    Args:
        world: Place of this process in its job; rank 0 says in one line what was done.
        settings: The user's tuning.
    """
    if world.local_size == 1 or settings.has_thread_count:
        return
    cores = len(os.sched_getaffinity(0))
    threads = max(1, cores // world.local_size)
    threadpoolctl.threadpool_limits(limits=threads)
    if world.rank == 0:
        _LOGGER.warning(
            "[ringsync] each rank computes with %d thread(s) (%d cores / %d ranks); set "
            "OMP_NUM_THREADS to choose.",
            threads,
            cores,
            world.local_size,
        )
