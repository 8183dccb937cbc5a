"""Large arrays are summed by NCCL once all ranks have joined; before, and without it, as ever.

On the simulated device, with the fake NCCL.
"""

import time

import numpy as np
import pytest

from bench.device.plugin import Plugin, find_plugin
from ringsync.errors import NotInitializedError, PeerLostError, RingsyncError, TimedOutError

from ..ranks import DEADLINE_S, Collective, Op, finish, until, world
from .arrays import Device, OnDevice, seen, values_in

N = 3
F32 = np.float32
LARGE = 100_003
# More than any rank's fusion buffer holds in the simulation.
CUT = 2_500_001


@pytest.fixture
def device():
    device = Device(Plugin(find_plugin("hostsim")))
    yield device
    device.close()


@pytest.fixture
def begin(transport):
    """A world whose ranks look for the fake NCCL."""

    def begin():
        return world(
            N,
            transport,
            device_plugin=str(find_plugin("hostsim")),
            nccl_library=str(find_plugin("fake_nccl")),
        )

    return begin


@pytest.fixture
def made(begin, device):
    with begin() as made:
        until(lambda: ways(device, made) == {"nccl"})
        yield made


@pytest.fixture
def faults(monkeypatch):
    return lambda text: monkeypatch.setenv("FAKE_NCCL", text)


def watched(made, call):
    """What `call` returns on each rank, and by what its work on devices was done."""

    def work(rank):
        rank.engine.start_events()
        result = call(rank)
        events = rank.engine.take_events()
        rank.engine.stop_events()
        return result, {name for lane, name, *_ in events if lane == "device"}

    results, found = zip(*made.each(work), strict=True)
    return results, set().union(*found)


def ways(device, made, count=LARGE):
    """By what one sum is made on all ranks."""
    arrays = [OnDevice(device, np.full(count, rank + 1, F32)) for rank in range(N)]
    _, found = watched(made, lambda rank: rank.allreduce(seen(arrays[rank.rank])))
    assert all((array.get() == 6).all() for array in arrays)
    return found


CALLS = {
    "sum": (lambda rank, x: rank.allreduce(x), lambda xs, _: sum(xs)),
    "average": (lambda rank, x: rank.allreduce(x, op=Op.AVERAGE), lambda xs, _: sum(xs) / N),
    "scaled": (
        lambda rank, x: rank.allreduce(x, prescale=0.5, postscale=3.0),
        lambda xs, _: sum(xs) * F32(1.5),
    ),
    "broadcast": (lambda rank, x: rank.broadcast(x, root=1), lambda xs, _: xs[1]),
    "allgather": (lambda rank, x: rank.allgather(x), lambda xs, _: np.concatenate(xs)),
    "reduce_scatter": (
        lambda rank, x: rank.reduce_scatter(x),
        lambda xs, rank: np.array_split(sum(xs), N)[rank],
    ),
    "scattered average": (
        lambda rank, x: rank.reduce_scatter(x, op=Op.AVERAGE),
        lambda xs, rank: np.array_split(sum(xs) / N, N)[rank],
    ),
    "alltoall": (
        lambda rank, x: rank.alltoall(x, tuple(map(len, np.array_split(x_rows(x), N)))),
        lambda xs, rank: np.concatenate([np.array_split(x, N)[rank] for x in xs]),
    ),
}


def x_rows(x):
    return np.empty(x.shape[0])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("rows", [60_000, 60_001])
@pytest.mark.parametrize("call", CALLS)
def test_every_collective_has_numpy_s_values(device, made, call, rows, dtype):
    perform, expected = CALLS[call]
    # Small whole numbers, that come out even.
    values = [(np.arange(2 * rows) % 40 * 12 + 12 * rank).reshape(rows, 2) for rank in range(N)]
    values = [x.astype(dtype) for x in values]
    arrays = [OnDevice(device, x) for x in values]
    results, found_ways = watched(made, lambda rank: perform(rank, seen(arrays[rank.rank])))
    assert found_ways == {"nccl"}
    for rank in range(N):
        found = results[rank]
        found = found.get() if found is arrays[rank] else values_in(device, found, dtype)
        np.testing.assert_array_equal(
            found.reshape(-1), expected(values, rank).astype(dtype).reshape(-1)
        )


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_integers_are_added_up(device, made, dtype):
    arrays = [OnDevice(device, np.full(LARGE, 2**30 + rank, dtype)) for rank in range(N)]
    made.each(lambda rank: rank.allreduce(seen(arrays[rank.rank])))
    expected = sum(np.full(1, 2**30 + rank, dtype) for rank in range(N))
    assert all((array.get() == expected).all() for array in arrays)


@pytest.mark.parametrize("count", [LARGE, CUT])
def test_averages_of_integers_are_not_cut_before_they_are_scaled(device, made, count):
    arrays = [OnDevice(device, np.full(count, rank * 2, np.int32)) for rank in range(N)]
    arrays[0] = OnDevice(device, np.ones(count, np.int32))
    _, found_ways = watched(
        made,
        lambda rank: rank.allreduce(seen(arrays[rank.rank]), op=Op.AVERAGE, postscale=float(N)),
    )
    assert found_ways == {"nccl"}
    assert all((array.get() == 1 + 2 + 4).all() for array in arrays)


def test_parts_of_unlike_length_are_gathered(device, made):
    rows = [LARGE, 1, LARGE + 7]
    parts = [OnDevice(device, np.full((n, 2), rank, F32)) for rank, n in enumerate(rows)]
    for result in made.each(lambda rank: rank.allgather(seen(parts[rank.rank]))):
        values = values_in(device, result, F32)
        assert values.shape == (sum(rows), 2)
        assert (values[:, 0] == np.repeat(range(N), rows)).all()


@pytest.mark.parametrize("how", [{}, {"op": Op.AVERAGE}, {"postscale": 2.0}], ids=str)
def test_what_is_longer_than_the_fusion_buffer_is_summed_whole(device, made, how):
    values = [np.full(CUT, 3.0 * rank, F32) for rank in range(N)]
    arrays = [OnDevice(device, x) for x in values]
    made.each(lambda rank: rank.allreduce(seen(arrays[rank.rank]), **how))
    factor = 1 / N if "op" in how else how.get("postscale", 1.0)
    assert all((array.get() == 9 * factor).all() for array in arrays)


def test_many_in_flight_are_summed_in_buckets(device, made):
    counts = [1, 50_000, 7, 0, 120_000, 33, 70_000] * 6
    arrays = [
        [OnDevice(device, np.full(n, r + k, F32)) for k, n in enumerate(counts)] for r in range(N)
    ]

    def work(rank):
        for _ in range(2):
            finish(rank.submit_all([seen(x) for x in arrays[rank.rank]], op=Op.AVERAGE))
            handles = [
                rank.submit(Collective.ALLREDUCE, seen(x), op=Op.SUM) for x in arrays[rank.rank]
            ]
            for handle in handles:
                finish(handle)

    _, found_ways = watched(made, work)
    assert "nccl" in found_ways
    for mine in arrays:
        for k, array in enumerate(mine):
            assert (array.get() == 3 * 3 * (1 + k)).all()


@pytest.mark.parametrize(
    ("fault", "tellers"), [("init=fail", N), ("id=fail", 2), ("version=21700", N)]
)
def test_without_it_sums_are_made_as_before_and_somebody_says_why(
    device, begin, faults, capfd, fault, tellers
):
    faults(fault)
    with begin() as made:
        told = ""
        limit_s = time.monotonic() + DEADLINE_S
        while told.count("without NCCL") < tellers and time.monotonic() < limit_s:
            assert ways(device, made) == {"run"}
            told += capfd.readouterr().err
        assert ways(device, made) == {"run"}
        told += capfd.readouterr().err
    assert told.count("without NCCL") == tellers, told
    assert "[ringsync] rank 0 of 3 sums arrays on devices without NCCL: [nccl] " in told


@pytest.mark.parametrize("fault", ["init=hang", "stuck", "hang"])
def test_nobody_waits_for_ranks_that_do_not_come_together(device, begin, faults, fault):
    faults(fault)
    with begin() as made:
        for _ in range(3):
            assert ways(device, made) == {"run"}
        began_s = time.monotonic()
        made.close()
    assert time.monotonic() - began_s < DEADLINE_S / 3


def test_a_sum_that_never_ends_is_a_time_out_and_ends_no_later(device, made, faults):
    arrays = [OnDevice(device, np.ones(LARGE, F32)) for _ in range(N)]
    device.keep_memory()
    faults("hang")
    began_s = time.monotonic()
    errors = made.errors(
        lambda rank: rank.allreduce(seen(arrays[rank.rank]), timeout_s=0.5), RingsyncError
    )
    assert any(isinstance(error, TimedOutError) for error in errors)
    made.close()
    assert time.monotonic() - began_s < DEADLINE_S / 2


def test_what_fails_in_nccl_is_told_on_all_ranks(device, made, faults):
    arrays = [OnDevice(device, np.ones(LARGE, F32)) for _ in range(N)]
    device.keep_memory()
    faults("async=6")

    def work(rank):
        for _ in range(3):
            rank.allreduce(seen(arrays[rank.rank]))

    for error in made.errors(work, RingsyncError):
        assert "NCCL" in str(error) or "nccl" in str(error) or isinstance(error, PeerLostError)


def test_a_rank_that_shuts_down_is_named_by_the_others(device, made):
    arrays = [OnDevice(device, np.ones(LARGE, F32)) for _ in range(N)]
    device.keep_memory()

    def work(rank):
        if rank.rank == 1:
            rank.engine.shutdown("it had enough")
        rank.allreduce(seen(arrays[rank.rank]))

    began_s = time.monotonic()
    first, own, last = made.errors(work, (PeerLostError, NotInitializedError))
    assert isinstance(own, NotInitializedError)
    assert "it had enough" in str(first)
    assert "it had enough" in str(last)
    assert time.monotonic() - began_s < DEADLINE_S / 3
