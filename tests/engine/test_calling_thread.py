"""Who does an engine's work: whoever waits for it anyway, else the engine's own thread."""

import contextlib
import re
from pathlib import Path

import numpy as np
import pytest

from ..ranks import TRANSPORTS, Collective, finish, world

CALLS = 200


def sleeps():
    """How often each thread of this process has gone to sleep."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it has just ended
            status = (task / "status").read_text()
            found[task.name] = int(re.search(r"\nvoluntary_ctxt_switches:\s*(\d+)", status)[1])
    return found


def sleeps_during(ranks, count, call, earlier):
    """How often the threads that came after the `earlier` ones, and stay, sleep during `CALLS`."""

    def work(rank):
        array = np.zeros(count, np.float32)
        for _ in range(CALLS):
            call(rank, array)

    before = sleeps()
    ranks.each(work)
    after = sleeps()
    return sum(after[task] - before[task] for task in (before.keys() & after.keys()) - earlier)


def block(rank, array):
    rank.allreduce(array)


def submit_and_wait(rank, array):
    finish(rank.submit(Collective.ALLREDUCE, array))


# A caller hands over to the engine's thread where a peer is kept off its core for half a second.
@pytest.mark.alone
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("count", [3, 100_000], ids=["carried", "alone"])
def test_a_blocking_call_is_done_by_its_caller_and_wakes_no_thread_of_an_idle_engine(
    transport, count
):
    earlier = sleeps().keys()
    with world(2, transport) as ranks:
        # A thread that is woken for every call would sleep twice as often: there are two ranks.
        assert sleeps_during(ranks, count, block, earlier) <= CALLS // 10
        assert sleeps_during(ranks, count, submit_and_wait, earlier) >= CALLS // 2
