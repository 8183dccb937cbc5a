"""Calls on one array are given to a device one behind another; the host waits for none of them."""

import random

import numpy as np
import pytest

from ringsync.errors import NotInitializedError, PeerLostError, RingsyncError, TimedOutError

from ..ranks import Collective, Op, finish, until
from .arrays import OnDevice, seen, values_in
from .nccl_ways import ways

F32 = np.float32
N = 3
LARGE = 20_000
# More than any rank's fusion buffer holds in the simulation.
CUT = 2_500_001
# So many calls on one array are given to a device before any of them is over.
MOST = 3

# Ranks that are threads share no memory of a real device, and go by the host.
shared_alone = pytest.mark.parametrize("plugin", ["hostsim"], indirect=True)


def late_arrays(device, gate, count):
    """What all ranks have, and the gate holds back: ones.

    Returns what gives one of them to a sum whose own values are there at once: no stream of the
    caller's comes behind the sum before it.
    """
    gate.close()
    arrays = [OnDevice(device, np.ones(count, F32), stream=gate.stream) for _ in range(N)]
    behind, free = device.stream(), device.stream()

    def put_one(rank, collective=Collective.ALLREDUCE, **how):
        """Returns once it has been given to the device."""
        handle = rank.submit(collective, seen(arrays[rank.rank]), **how)
        handle.wait(10.0, stream=behind)
        arrays[rank.rank].stream = free
        return handle

    return arrays, put_one


def sums_come_in_order(device, made, gate, count):
    arrays, put_one = late_arrays(device, gate, count)
    handles = made.each(lambda rank: [put_one(rank, op=Op.SUM) for _ in range(MOST)])
    assert not any(handle.done() for mine in handles for handle in mine)
    gate.open()
    for mine in handles:
        for handle in mine:
            finish(handle)
    assert all((array.get() == N**MOST).all() for array in arrays)


@shared_alone
@pytest.mark.parametrize("count", [LARGE, CUT])
def test_sums_of_one_array_are_put_behind_one_that_is_yet_to_be_made(device, made, gate, count):
    ways(device, made, LARGE)
    sums_come_in_order(device, made, gate, count)


@pytest.mark.parametrize("count", [LARGE, CUT])
def test_likewise_those_of_nccl_s(simulated, joined, simulated_gate, count):
    sums_come_in_order(simulated, joined, simulated_gate, count)


@shared_alone
def test_what_only_reads_an_array_has_read_it_before_the_next_call_writes_there(device, made, gate):
    ways(device, made, LARGE)
    arrays, put_one = late_arrays(device, gate, LARGE)

    def work(rank):
        before = put_one(rank, Collective.ALLGATHER)
        between = put_one(rank, op=Op.SUM)
        return before, between, put_one(rank, Collective.ALLGATHER)

    handles = made.each(work)
    gate.open()
    for before, between, after in handles:
        assert (values_in(device, before.result(), F32) == 1).all()
        finish(between)
        assert (values_in(device, after.result(), F32) == N).all()
    assert all((array.get() == N).all() for array in arrays)


@shared_alone
def test_one_more_call_than_a_device_is_given_at_once_waits_for_the_first(device, made, gate):
    ways(device, made, LARGE)
    arrays, put_one = late_arrays(device, gate, LARGE)
    made.each(lambda rank: [put_one(rank, op=Op.SUM) for _ in range(MOST)])
    more = made.each(
        lambda rank: rank.submit(Collective.ALLREDUCE, seen(arrays[rank.rank]), op=Op.SUM)
    )
    stream = device.stream()
    for handle in more:
        with pytest.raises(TimedOutError, match="it goes on"):
            handle.wait(0.05, stream=stream)
    gate.open()
    for handle in more:
        finish(handle)
    assert all((array.get() == N ** (MOST + 1)).all() for array in arrays)


@shared_alone
def test_what_goes_by_the_host_waits_for_what_the_device_does_with_its_array(device, made, gate):
    ways(device, made, LARGE)
    arrays, put_one = late_arrays(device, gate, LARGE)
    first = made.each(lambda rank: put_one(rank, op=Op.SUM))
    parts = []
    for array in arrays:
        part = OnDevice(device, np.ones(10, F32))
        part.address = array.address + 4 * 100
        parts.append(part)
    second = made.each(
        lambda rank: rank.submit(Collective.ALLREDUCE, seen(parts[rank.rank]), op=Op.SUM)
    )
    third = made.each(
        lambda rank: rank.submit(Collective.ALLREDUCE, seen(arrays[rank.rank]), op=Op.SUM)
    )
    gate.open()
    for handles in (first, second, third):
        for handle in handles:
            finish(handle)
    expected = np.full(LARGE, N**2, F32)
    expected[100:110] = N**3
    assert all((array.get() == expected).all() for array in arrays)


def calls_on_parts(device, made, seed):
    """Calls on parts of one array, of which some overlap, in one order and without a wait."""
    draw = random.Random(seed)
    count = 150_000
    whole = [OnDevice(device, np.ones(count, np.int32)) for _ in range(N)]
    expected = np.ones(count, np.int32)
    pieces = []
    for _ in range(12):
        first = draw.randrange(count - 1)
        length = draw.randrange(1, count - first + 1)
        part = expected[first : first + length]
        collective = draw.choice([Collective.ALLREDUCE, Collective.ALLREDUCE, Collective.BROADCAST])
        if collective == Collective.ALLREDUCE and part.max() < 3**15:
            part *= N
        elif collective == Collective.ALLREDUCE:
            collective = Collective.BROADCAST
        pieces.append((collective, first, length))

    def work(rank):
        handles = []
        for collective, first, length in pieces:
            x = OnDevice(device, np.empty(0, np.int32))
            x.address, x.shape = whole[rank.rank].address + 4 * first, (length,)
            handles.append(rank.submit(collective, seen(x), op=Op.SUM))
        for handle in handles:
            finish(handle)

    made.each(work)
    for array in whole:
        np.testing.assert_array_equal(array.get(), expected)


@pytest.mark.parametrize("seed", range(6))
def test_calls_on_parts_of_one_array_have_the_values_of_calls_that_are_waited_for(
    device, made, seed
):
    ways(device, made, LARGE)
    calls_on_parts(device, made, seed)


@pytest.mark.parametrize("seed", range(6))
def test_likewise_where_nccl_makes_some(simulated, joined, seed):
    calls_on_parts(simulated, joined, seed)


@shared_alone
@pytest.mark.runs_out
def test_where_the_first_fails_so_do_those_behind_it(device, made, gate):
    ways(device, made, LARGE)
    device.keep_memory()
    _, put_one = late_arrays(device, gate, LARGE)
    handles = made.each(lambda rank: [put_one(rank) for _ in range(MOST)])
    made.ranks[2].engine.shutdown("it had enough")
    for mine in handles:
        for handle in mine:
            until(handle.done)
            with pytest.raises((PeerLostError, NotInitializedError), match="it had enough"):
                handle.wait()


@pytest.mark.parametrize("fault", ["hang,async=6", "hang"])
def test_likewise_where_the_first_fails_in_nccl(simulated, joined, simulated_gate, faults, fault):
    simulated.keep_memory()
    _, put_one = late_arrays(simulated, simulated_gate, LARGE)
    faults(fault)
    handles = joined.each(lambda rank: [put_one(rank, timeout_s=3.0) for _ in range(MOST)])
    simulated_gate.open()
    for mine in handles:
        for handle in mine:
            with pytest.raises(RingsyncError):
                finish(handle)


@shared_alone
@pytest.mark.runs_out
def test_whose_device_is_late_is_told_whatever_comes_behind(device, made, gate):
    ways(device, made, LARGE)
    device.keep_memory()
    gate.close()
    stream = [device.stream(), device.stream(), gate.stream]
    x = [OnDevice(device, np.ones(LARGE, F32), stream=stream[rank]) for rank in range(N)]

    def work(rank):
        for timeout_s in (1.0, 10.0) if rank.rank == 0 else (None, None):
            handle = rank.submit(Collective.ALLREDUCE, seen(x[rank.rank]), timeout_s=timeout_s)
            handle.wait(10.0, stream=stream[rank.rank])
        return handle

    first, *_ = made.each(work)
    with pytest.raises(TimedOutError, match=r"ranks \{1, 2\} have begun it on their devices as"):
        finish(first)


def submit_behind(device, made, stream, behind):
    """Of each rank, the last of some calls on one array, which rank 0 wants within a second."""
    x = [OnDevice(device, np.ones(LARGE, F32), stream=stream[rank]) for rank in range(N)]

    def work(rank):
        first = rank.submit(Collective.ALLREDUCE, seen(x[rank.rank]), op=Op.SUM)
        first.wait(10.0, stream=stream[rank.rank])
        for op in behind[:-1]:
            rank.submit(Collective.ALLREDUCE, seen(x[rank.rank]), op=op)
        timeout_s = 1.0 if rank.rank == 0 else None
        return rank.submit(
            Collective.ALLREDUCE, seen(x[rank.rank]), op=behind[-1], timeout_s=timeout_s
        )

    return made.each(work)


by_the_host = [Op.MAX]
as_the_first_that_is_not_given_to_the_device = [Op.SUM] * MOST
behind_that = [Op.SUM] * (MOST + 1)
all_that_wait = pytest.mark.parametrize(
    "behind", [by_the_host, as_the_first_that_is_not_given_to_the_device, behind_that]
)


@shared_alone
@all_that_wait
@pytest.mark.runs_out
def test_what_waits_for_its_own_device_is_blamed_on_no_other_rank(device, made, gate, behind):
    ways(device, made, LARGE)
    device.keep_memory()
    gate.close()
    first, *others = submit_behind(
        device, made, [gate.stream, device.stream(), device.stream()], behind
    )
    with pytest.raises(TimedOutError, match="rank 0 of 3; its own device has not moved the array"):
        finish(first)
    for handle in others:
        with pytest.raises(PeerLostError, match=r"lost rank 0 .*: its own device stands"):
            finish(handle)


@shared_alone
@all_that_wait
@pytest.mark.runs_out
def test_what_waits_for_a_peer_s_device_is_told_as_that(device, made, gate, behind):
    ways(device, made, LARGE)
    device.keep_memory()
    gate.close()
    first, *_ = submit_behind(device, made, [device.stream(), device.stream(), gate.stream], behind)
    with pytest.raises(TimedOutError, match=r"ranks \{1, 2\} have begun it on their devices as"):
        finish(first)
