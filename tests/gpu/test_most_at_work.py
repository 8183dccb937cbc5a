"""Streams hold a limited number of calls: what is more waits in the engine, not in a driver."""

import numpy as np
import pytest

from ringsync.errors import TimedOutError

from ..ranks import Collective, Op, finish
from .arrays import OnDevice, seen
from .nccl_ways import ways

F32 = np.float32
N = 3
LARGE = 20_000
# So many calls a group gives to its device before any of them is over.
MOST = 32

# Ranks that are threads share no memory of a real device, and go by the host.
shared_alone = pytest.mark.parametrize("plugin", ["hostsim"], indirect=True)


def arrays_of(device, rank, count, gate):
    """Ones; the first of rank 0 is there once the gate opens."""
    arrays = [OnDevice(device, np.ones(LARGE, F32)) for _ in range(count)]
    if rank == 0:
        arrays[0].stream = gate.stream
    return arrays


def more_than_most(device, made, gate):
    more = 3
    x = [arrays_of(device, rank, MOST + more, gate) for rank in range(N)]
    gate.close()

    def work(rank):
        behind = device.stream()
        handles = []
        for array in x[rank.rank]:
            handles.append(rank.submit(Collective.ALLREDUCE, seen(array), op=Op.SUM))
            if len(handles) <= MOST:
                handles[-1].wait(10.0, stream=behind)
        return handles

    handles = made.each(work)
    behind = device.stream()
    for mine in handles:
        assert not any(handle.done() for handle in mine)
        for handle in mine[MOST:]:
            with pytest.raises(TimedOutError, match="it goes on"):
                handle.wait(0.02, stream=behind)
    gate.open()
    for mine in handles:
        for handle in mine:
            finish(handle)
    assert all((array.get() == N).all() for arrays in x for array in arrays)


@shared_alone
def test_calls_on_many_arrays_are_not_all_given_to_a_device_at_once(device, made, gate):
    ways(device, made, LARGE)
    more_than_most(device, made, gate)


def test_likewise_those_of_nccl_s(simulated, joined, simulated_gate):
    more_than_most(simulated, joined, simulated_gate)


@shared_alone
def test_what_devices_sum_as_one_counts_as_one(device, made, gate):
    ways(device, made, LARGE)
    x = [[arrays_of(device, rank, 20, gate) for _ in range(3)] for rank in range(N)]
    gate.close()

    def work(rank):
        behind = device.stream()
        handles = []
        for arrays in x[rank.rank]:
            handles.append(rank.submit_all([seen(array) for array in arrays], op=Op.SUM))
            handles[-1].wait(10.0, stream=behind)
        return handles

    handles = made.each(work)
    assert not any(handle.done() for mine in handles for handle in mine)
    gate.open()
    for mine in handles:
        for handle in mine:
            finish(handle)
    assert all((one.get() == N).all() for mine in x for arrays in mine for one in arrays)
