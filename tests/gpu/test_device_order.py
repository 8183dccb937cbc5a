"""Order and progress of calls on devices are those on hosts, whatever a device is late with."""

import numpy as np
import pytest

from ringsync.errors import MismatchError, NotInitializedError, PeerLostError

from ..ranks import Collective, Op, finish, join, until
from .arrays import OnDevice, seen

F32 = np.float32
N = 3
LARGE = 20_000
both_sizes = pytest.mark.parametrize("count", [12, LARGE], ids=["small", "large"])

# By the host a late array holds up what comes behind it. Ranks that are threads share no memory of
# a real device and go by the host; test_scripts.py claims the same of processes on every device.
shared_alone = pytest.mark.parametrize("plugin", ["hostsim"], indirect=True)


def warm_up(device, made):
    """The first call that is worked on there sets up what the next ones share."""
    arrays = [OnDevice(device, np.ones(LARGE, F32)) for _ in range(N)]
    made.each(lambda rank: rank.allreduce(seen(arrays[rank.rank])))


def held_back(device, made, gate):
    """The handles of an allreduce whose values come once the gate opens."""
    warm_up(device, made)
    gate.close()
    late = [OnDevice(device, np.ones(LARGE, F32), stream=gate.stream) for _ in range(N)]
    return made.each(lambda rank: rank.submit(Collective.ALLREDUCE, seen(late[rank.rank])))


@both_sizes
def test_operations_on_one_array_in_unlike_orders_are_done_in_one(device, made, count):
    # Whichever comes first: (1 + 2 + 3) * 3 * 10.
    arrays = [OnDevice(device, np.full(count, rank + 1, F32)) for rank in range(N)]

    def work(rank):
        x = seen(arrays[rank.rank])
        scales = {"a": 1.0, "b": 10.0}
        handles = [
            rank.submit(Collective.ALLREDUCE, x, name=name, postscale=scales[name])
            for name in ("ab" if rank.rank else "ba")
        ]
        for handle in handles:
            finish(handle)

    for _ in range(3):
        for rank, array in enumerate(arrays):
            device.plugin.put(np.full(count, rank + 1, F32), array.address)
        made.each(work)
        assert {float(x) for array in arrays for x in array.get()} == {180.0}


@both_sizes
def test_a_rank_may_wait_for_one_call_before_it_submits_what_others_have_first(
    device, made, gate, count
):
    gate.close()

    def work(rank):
        x = OnDevice(device, np.full(count, 1, F32), stream=gate.stream if rank.rank == 0 else None)
        y = OnDevice(device, np.full(count, 1, F32))
        if rank.rank == 0:
            handles = [
                rank.submit(Collective.ALLREDUCE, seen(array), name=name)
                for name, array in (("a", x), ("b", y))
            ]
            for handle in handles:
                finish(handle)
        else:
            rank.allreduce(seen(y), name="b")
            gate.open()  # what the stream of rank 0 waits for comes after b
            rank.allreduce(seen(x), name="a")
        return [float(x.get()[0]), float(y.get()[0])]

    assert made.each(work) == [[3.0, 3.0]] * N


def test_a_late_array_holds_up_no_other_group(device, made, gate):
    pair = made.group(0, 1)
    gate.close()
    late = [OnDevice(device, np.ones(5000, F32), stream=gate.stream) for _ in range(N)]
    handles = made.each(lambda rank: rank.submit(Collective.ALLREDUCE, seen(late[rank.rank])))

    def meanwhile(rank):
        if rank.rank not in pair.members:
            return None
        soon = OnDevice(device, np.ones(8, F32))
        rank.allreduce(seen(soon), group=pair.number[rank.rank])
        return float(soon.get()[0])

    assert made.each(meanwhile) == [2.0, 2.0, None]
    assert not any(handle.done() for handle in handles)
    gate.open()
    for handle in handles:
        finish(handle)
    pair.close_all()


@shared_alone
def test_what_is_submitted_behind_a_device_at_work_is_begun_at_once(device, made, gate):
    first = held_back(device, made, gate)
    second = made.each(lambda rank: rank.submit(Collective.ALLREDUCE, np.ones(8, F32)))
    for handle in second:
        finish(handle)
    assert not any(handle.done() for handle in first)
    gate.open()
    for handle in first:
        finish(handle)


@both_sizes
def test_an_operation_waits_for_no_values_but_its_own(device, made, gate, count):
    warm_up(device, made)
    gate.close()

    def work(rank):
        a = OnDevice(device, np.ones(count, F32))
        b = OnDevice(device, np.ones(count, F32), stream=gate.stream if rank.rank == 0 else None)
        first, second = (
            rank.submit(Collective.ALLREDUCE, seen(x), name=name)
            for x, name in ((a, "a"), (b, "b"))
        )
        finish(first)
        if rank.rank == 0:
            gate.open()
        finish(second)
        return [float(a.get()[0]), float(b.get()[0])]

    assert made.each(work) == [[3.0, 3.0]] * N


@shared_alone
def test_a_small_array_comes_back_before_a_late_one_that_was_first(device, made, gate):
    first = held_back(device, made, gate)
    small = [OnDevice(device, np.ones(4, F32)) for _ in range(N)]
    for handle in made.each(lambda rank: rank.submit(Collective.ALLREDUCE, seen(small[rank.rank]))):
        finish(handle)
    assert not any(handle.done() for handle in first)
    gate.open()
    for handle in first:
        finish(handle)


def test_a_lost_rank_is_noticed_while_an_array_is_late(device, made, gate):
    gate.close()
    x = OnDevice(device, np.ones(50, F32), stream=gate.stream)
    device.keep_memory()
    handle = made.ranks[0].submit(Collective.ALLREDUCE, seen(x), name="w")
    made.ranks[1].engine.shutdown("it is gone")
    with pytest.raises(PeerLostError, match=r"rank 0 of 3 lost rank 1 .*it is gone"):
        finish(handle)


@both_sizes
def test_a_late_array_and_a_joined_rank_agree_on_the_rounds(device, made, gate, count):
    gate.close()

    def work(rank):
        if rank.rank == 1:
            return join(rank)
        stream = gate.stream if rank.rank == 2 else None
        x = OnDevice(device, np.full(count, rank.rank + 1, F32), stream=stream)
        handle = rank.submit(Collective.ALLREDUCE, seen(x), name="w")
        if rank.rank == 0:
            gate.open()
        finish(handle)
        assert (x.get() == 4).all()
        return join(rank)

    made.each(work)
    made.require_usable()


def test_what_a_joined_rank_forbids_is_forgotten_by_all(device, made):
    def work(rank):
        if rank.rank == 0:
            return join(rank)
        large = OnDevice(device, np.ones(LARGE, F32))
        told = []
        for names in ("ab", "cd", "efgh"):
            calls = {
                name: Collective.BROADCAST if name == "a" else Collective.ALLREDUCE
                for name in (names if rank.rank == 1 else reversed(names))
            }
            arrays = {
                name: large if name == "a" else OnDevice(device, np.ones(100, F32))
                for name in calls
            }
            handles = [
                rank.submit(call, seen(arrays[name]), name=name, root=1)
                for name, call in calls.items()
            ]
            for handle in handles:
                try:
                    finish(handle)
                except MismatchError as error:
                    told.append(str(error))
        (story,) = told
        assert "rank 0 has joined, with nothing to contribute to broadcast" in story
        return join(rank)

    made.each(work)
    made.require_usable()


def test_early_values_are_dropped_where_another_operation_comes_first(device, made):
    # A sum and minima of one array, the sum submitted last and done first on some ranks.
    arrays = [OnDevice(device, np.full(500, rank + 1, F32)) for rank in range(N)]

    def work(rank):
        x = seen(arrays[rank.rank])
        ops = {"min": Op.MIN, "sum": Op.SUM, "max": Op.MAX}
        order = ("min", "sum", "max") if rank.rank == 0 else ("max", "min", "sum")
        handles = [rank.submit(Collective.ALLREDUCE, x, name=name, op=ops[name]) for name in order]
        for handle in handles:
            finish(handle)
        return {float(one) for one in arrays[rank.rank].get()}

    first, *others = made.each(work)
    assert others == [first, first]
    assert first in ({3.0}, {9.0}, {6.0}, {18.0})  # by the order that was agreed on


def test_all_ends_when_an_engine_is_shut_down_amid_late_arrays(device, made, gate):
    gate.close()
    arrays = [OnDevice(device, np.ones(50, F32), stream=gate.stream) for _ in range(12)]
    device.keep_memory()
    handles = [made.ranks[0].submit(Collective.ALLREDUCE, seen(x)) for x in arrays]
    made.ranks[0].engine.shutdown("enough")
    until(lambda: all(handle.done() for handle in handles))
    for handle in handles:
        with pytest.raises(NotInitializedError, match="enough"):
            finish(handle)
