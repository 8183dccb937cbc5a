"""Arrays on devices in collectives: what comes out is what arrays on the host give, bit for bit."""

import threading

import numpy as np
import pytest

from ..ranks import Collective, Op, finish, join, until, world
from .arrays import OnDevice, seen, values_in

N = 3
F32 = np.float32
DTYPES = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8"]
# Of rows of two: carried with its announcement, alone, and on the device where that can be.
COUNTS = [1, 12, 5_000, 300_007]


def inputs(dtype, shape=(12,)):
    generator = np.random.default_rng(len(dtype))
    return [(generator.random(shape) * 9 - 2).astype(dtype) for _ in range(N)]


def unequal(rows):
    """Of so many rows a part for each of three ranks."""
    return (rows // N, rows // N, rows - rows // N * 2)


# Of one rank and its array: the result, or None where the array itself is.
CALLS = {
    "allreduce": lambda rank, x: rank.allreduce(x, op=Op.AVERAGE),
    "minimum": lambda rank, x: rank.allreduce(x, op=Op.MIN),
    "scaled": lambda rank, x: rank.allreduce(x, prescale=0.5, postscale=3.0),
    "broadcast": lambda rank, x: rank.broadcast(x, root=1),
    "allgather": lambda rank, x: rank.allgather(x),
    "reduce_scatter": lambda rank, x: rank.reduce_scatter(x),
    "alltoall": lambda rank, x: rank.alltoall(x, unequal(x.shape[0])),
}  # fmt: skip
IN_PLACE = {"allreduce", "minimum", "scaled", "broadcast"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("call", CALLS)
def test_a_collective_gives_on_devices_what_it_gives_on_hosts(device, made, call, dtype):
    for count in COUNTS:
        compare(device, made, call, inputs(dtype, (count, 2)))


def compare(device, made, call, values):
    dtype = values[0].dtype
    expected = [x.copy() for x in values]
    results = made.each(lambda rank: CALLS[call](rank, expected[rank.rank]))
    arrays = [OnDevice(device, x) for x in values]
    there = made.each(lambda rank: CALLS[call](rank, seen(arrays[rank.rank])))
    for rank in range(N):
        if call in IN_PLACE:
            assert there[rank] is arrays[rank]
            np.testing.assert_array_equal(arrays[rank].get(), expected[rank])
        else:
            np.testing.assert_array_equal(arrays[rank].get(), values[rank])
            result = values_in(device, there[rank], dtype)
            np.testing.assert_array_equal(result, results[rank])


def test_bool_and_bfloat16_travel_too(device, made):
    truths = [OnDevice(device, np.array([rank == 1, False, True])) for rank in range(N)]
    made.each(lambda rank: rank.allreduce(seen(truths[rank.rank]), op=Op.MAX))
    assert [x.get().tolist() for x in truths] == [[True, False, True]] * N
    ones = np.full(40, 0x3F80, np.uint16)
    halves = [OnDevice(device, ones, dtype="bfloat16") for _ in range(N)]
    made.each(lambda rank: rank.allreduce(seen(halves[rank.rank])))
    assert {int(bits) for x in halves for bits in x.get()} == {0x4040}  # 3.0


def test_arrays_without_elements_and_scalars_travel(device, made):
    empty = [OnDevice(device, np.empty((0, 4), F32)) for _ in range(N)]
    scalars = [OnDevice(device, np.array(rank + 1.0, F32)) for rank in range(N)]
    made.each(lambda rank: rank.allreduce(seen(empty[rank.rank])))
    made.each(lambda rank: rank.allreduce(seen(scalars[rank.rank])))
    assert [float(x.get()) for x in scalars] == [6.0] * N
    gathered = made.each(lambda rank: rank.allgather(seen(empty[rank.rank])))
    assert [values_in(device, x, F32).shape for x in gathered] == [(0, 4)] * N


def test_rows_of_unlike_number_are_gathered(device, made):
    parts = [OnDevice(device, np.full((rank + 1, 3), rank, F32)) for rank in range(N)]
    results = made.each(lambda rank: rank.allgather(seen(parts[rank.rank])))
    whole = np.repeat(np.arange(N), np.arange(1, N + 1)).astype(F32)
    for result in results:
        np.testing.assert_array_equal(values_in(device, result, F32), np.tile(whole, (3, 1)).T)


@pytest.mark.parametrize("count", COUNTS)
def test_a_send_goes_from_device_to_device(device, made, count):
    source = OnDevice(device, np.arange(count, dtype=F32))
    target = OnDevice(device, np.zeros(count, F32))

    def work(rank):
        if rank.rank == 0:
            rank.send(seen(source), 2)
        if rank.rank == 2:
            assert rank.recv(seen(target), 0) is target

    made.each(work)
    np.testing.assert_array_equal(target.get(), source.get())


def test_values_are_waited_for_and_nobody_else_is(device, made, gate):
    # The stream that makes one rank's values stands still; another group of operations does not.
    late = [OnDevice(device, np.full(5000, rank + 1, F32), stream=gate.stream) for rank in range(N)]
    pair = made.group(0, 1)
    gate.close()
    device.plugin.call("fill", late[2].address, 0, 5000 * 4, gate.stream)
    handles = made.each(lambda rank: rank.submit(Collective.ALLREDUCE, seen(late[rank.rank])))

    def meanwhile(rank):
        if rank.rank in pair.members:
            x = np.ones(8)
            rank.allreduce(x, group=pair.number[rank.rank])
            return float(x[0])
        return None

    assert made.each(meanwhile) == [2.0, 2.0, None]
    assert not any(handle.done() for handle in handles)
    gate.open()
    for handle in handles:
        finish(handle)
    assert {float(x) for one in late for x in one.get()} == {3.0}
    pair.close_all()


@pytest.mark.parametrize("count", COUNTS)
def test_operations_on_one_array_follow_one_another(device, made, count):
    arrays = [OnDevice(device, np.ones(count, F32)) for _ in range(N)]

    def work(rank):
        x = seen(arrays[rank.rank])
        for handle in [rank.submit(Collective.ALLREDUCE, x) for _ in range(4)]:
            finish(handle)

    made.each(work)
    assert {float(x) for one in arrays for x in one.get()} == {float(N**4)}


def test_host_and_device_go_side_by_side(device, made):
    def work(rank):
        there = [OnDevice(device, np.full(n, rank.rank + 1, F32)) for n in (3, 4000, 90_000)]
        here = [np.full(n, rank.rank + 1, F32) for n in (5, 4000, 90_000)]
        mixed = [one for pair in zip(there, here, strict=True) for one in pair]
        views = [seen(x) if isinstance(x, OnDevice) else x for x in mixed]
        handles = [rank.submit(Collective.ALLREDUCE, x) for x in views]
        for handle in [*handles, rank.submit_all(views, name="g")]:
            finish(handle)
        return [*(x.get() for x in there), *here]

    for results in made.each(work):
        assert {float(x) for one in results for x in one} == {18.0}


def test_many_in_flight_end_in_any_order_of_submission(device, made):
    names = [f"t{i}" for i in range(120)]

    def work(rank):
        arrays = {name: OnDevice(device, np.full(i + 1, i, F32)) for i, name in enumerate(names)}
        order = names if rank.rank == 0 else names[::-1]
        handles = [
            rank.submit(Collective.ALLREDUCE, seen(arrays[name]), name=name) for name in order
        ]
        for handle in handles:
            finish(handle)
        return [arrays[name].get() for name in names]

    for results in made.each(work):
        for i, x in enumerate(results):
            assert x.tolist() == [float(N * i)] * (i + 1)


def test_a_rank_that_has_joined_gives_zeros(device, made):
    arrays = [OnDevice(device, np.full(70_000, rank + 1, F32)) for rank in range(N)]

    def work(rank):
        if rank.rank != 1:
            rank.allreduce(seen(arrays[rank.rank]))
        return join(rank)

    made.each(work)
    assert {float(x) for i in (0, 2) for x in arrays[i].get()} == {4.0}
    made.require_usable()


def test_a_world_of_one_moves_nothing(device, plugin_path, gate):
    x = OnDevice(device, np.arange(5, dtype=F32), stream=gate.stream)
    gate.close()
    with world(1, device_plugin=plugin_path) as made:
        (rank,) = made.ranks
        assert rank.allreduce(seen(x), op=Op.AVERAGE) is x  # nor does it wait
        gate.open()


def test_a_world_of_one_scales(device, plugin_path):
    x = OnDevice(device, np.arange(5, dtype=F32))
    with world(1, device_plugin=plugin_path) as made:
        made.ranks[0].allreduce(seen(x), prescale=2.0)
        assert x.get().tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]


def test_results_outlive_the_engine(device, plugin_path):
    parts = [OnDevice(device, np.full(7, rank, F32)) for rank in range(N)]
    with world(N, device_plugin=plugin_path) as made:
        results = made.each(lambda rank: rank.allgather(seen(parts[rank.rank])))
    assert [values_in(device, x, F32).tolist() for x in results] == [
        [float(rank) for rank in range(N) for _ in range(7)]
    ] * N


def test_calls_from_several_threads_do_not_mix(device, made):
    def work(rank):
        outcomes = []

        def call(number):
            x = OnDevice(device, np.full(2000, number, F32))
            rank.allreduce(seen(x), name=f"n{number}")
            outcomes.append((number, x.get()))

        threads = [threading.Thread(target=call, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        until(lambda: not any(thread.is_alive() for thread in threads))
        return outcomes

    for outcomes in made.each(work):
        assert len(outcomes) == 6
        for number, values in outcomes:
            assert (values == N * number).all()
