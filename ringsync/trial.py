"""Which way private memory moves fastest between the ranks of a host, tried when they meet.

Through queues in shared memory every byte is copied twice; reaching into a peer's memory costs
system calls. Where one overtakes the other depends on the processor and, in a virtual machine, on
the cores that it runs on this time: on an Intel Emerald Rapids at 200 KiB; on an AMD EPYC at 4
to 16 MiB while its two cores share a cache, and far below while they do not. What a sum is does
not depend on it.
"""

from __future__ import annotations

import time

import numpy as np

from ringsync._native import Engine, Terms
from ringsync.kinds import Collective, Op

# Where any of these takes less by reaching, larger arrays do too.
_SIZES_BYTES = (256 * 1024, 1024 * 1024, 4 * 1024 * 1024)

# Beyond the caches both ways copy from memory to memory, and queues copy twice: never seen to win.
_ALWAYS_BYTES = 16 * 1024 * 1024

# The least time counts, so this many are enough for one that nothing disturbed. All of it takes 2
# to 10 ms.
_ROUNDS = 4

_NEVER_BYTES = 2**63

_MIN = Terms(op=Op.MIN)


def choose_way(engine: Engine, has_core: bool, timeout_s: float) -> None:
    """Try both ways, and tell the engine from which size on private memory is reached into.

    All ranks call this at once, right after the start, and come to the same result. Where one of
    them cannot reach the others, there is nothing to choose; where one has to share its core, a
    time says who had it and not which way is shorter, and the engine keeps what it begins with.

    Args:
        engine: Of this rank.
        has_core: This rank has a core of its own.
        timeout_s: Of each call.

    Raises:
        PeerLostError: A rank ended meanwhile.
        TimedOutError: A rank did not come in time.
    """
    # Also a barrier: a short rank 0, and the store that it serves, must not end while others still
    # connect, and nobody has this Min before all have come.
    is_able = np.array([has_core and engine.can_reach()], np.uint8)
    engine.run(Collective.ALLREDUCE, is_able, "init", "init", timeout_s, _MIN)
    if not is_able[0]:
        return
    for size_bytes in _SIZES_BYTES:
        queued_s, reached_s = _least_s(engine, size_bytes, timeout_s)
        if reached_s < queued_s:
            engine.set_reach_from(size_bytes)
            return
    engine.set_reach_from(_ALWAYS_BYTES)


def _least_s(engine: Engine, size_bytes: int, timeout_s: float) -> tuple[float, float]:
    """Sum over all ranks of the least time through queues, and by reaching."""
    values = np.empty(size_bytes // 4, np.float32)
    least_s = np.full(2, np.inf)
    for _ in range(_ROUNDS):
        for way, reach_from in enumerate((_NEVER_BYTES, 0)):
            engine.set_reach_from(reach_from)
            values.fill(0)  # as gradients are: written by this rank just before
            engine.run(Collective.BARRIER, None, "init", "init", timeout_s, Terms())
            start_s = time.perf_counter()
            engine.run(Collective.ALLREDUCE, values, "init", "init", timeout_s, Terms())
            least_s[way] = min(least_s[way], time.perf_counter() - start_s)
    engine.run(Collective.ALLREDUCE, least_s, "init", "init", timeout_s, Terms())
    return float(least_s[0]), float(least_s[1])
