"""Large arrays are summed by NCCL once all ranks have joined; before, and without it, as ever.

On the simulated device, with the fake NCCL. Trouble has a file of its own.
"""

import numpy as np
import pytest

from ..ranks import Collective, Op, finish
from .arrays import OnDevice, seen, values_in
from .nccl_ways import F32, LARGE, N, watched

# More than any rank's fusion buffer holds in the simulation.
CUT = 2_500_001

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
def test_every_collective_has_numpy_s_values(simulated, joined, call, rows, dtype):
    perform, expected = CALLS[call]
    # Small whole numbers, that come out even.
    values = [(np.arange(2 * rows) % 40 * 12 + 12 * rank).reshape(rows, 2) for rank in range(N)]
    values = [x.astype(dtype) for x in values]
    arrays = [OnDevice(simulated, x) for x in values]
    results, found_ways = watched(joined, lambda rank: perform(rank, seen(arrays[rank.rank])))
    assert found_ways == {"nccl"}
    for rank in range(N):
        found = results[rank]
        found = found.get() if found is arrays[rank] else values_in(simulated, found, dtype)
        np.testing.assert_array_equal(
            found.reshape(-1), expected(values, rank).astype(dtype).reshape(-1)
        )


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_integers_are_added_up(simulated, joined, dtype):
    arrays = [OnDevice(simulated, np.full(LARGE, 2**30 + rank, dtype)) for rank in range(N)]
    joined.each(lambda rank: rank.allreduce(seen(arrays[rank.rank])))
    expected = sum(np.full(1, 2**30 + rank, dtype) for rank in range(N))
    assert all((array.get() == expected).all() for array in arrays)


@pytest.mark.parametrize("count", [LARGE, CUT])
def test_averages_of_integers_are_not_cut_before_they_are_scaled(simulated, joined, count):
    arrays = [OnDevice(simulated, np.full(count, rank * 2, np.int32)) for rank in range(N)]
    arrays[0] = OnDevice(simulated, np.ones(count, np.int32))
    _, found_ways = watched(
        joined,
        lambda rank: rank.allreduce(seen(arrays[rank.rank]), op=Op.AVERAGE, postscale=float(N)),
    )
    assert found_ways == {"nccl"}
    assert all((array.get() == 1 + 2 + 4).all() for array in arrays)


def test_parts_of_unlike_length_are_gathered(simulated, joined):
    rows = [LARGE, 1, LARGE + 7]
    parts = [OnDevice(simulated, np.full((n, 2), rank, F32)) for rank, n in enumerate(rows)]
    for result in joined.each(lambda rank: rank.allgather(seen(parts[rank.rank]))):
        values = values_in(simulated, result, F32)
        assert values.shape == (sum(rows), 2)
        assert (values[:, 0] == np.repeat(range(N), rows)).all()


@pytest.mark.parametrize("how", [{}, {"op": Op.AVERAGE}, {"postscale": 2.0}], ids=str)
def test_what_is_longer_than_the_fusion_buffer_is_summed_whole(simulated, joined, how):
    values = [np.full(CUT, 3.0 * rank, F32) for rank in range(N)]
    arrays = [OnDevice(simulated, x) for x in values]
    joined.each(lambda rank: rank.allreduce(seen(arrays[rank.rank]), **how))
    factor = 1 / N if "op" in how else how.get("postscale", 1.0)
    assert all((array.get() == 9 * factor).all() for array in arrays)


def test_many_in_flight_are_summed_in_buckets(simulated, joined):
    counts = [1, 50_000, 7, 0, 120_000, 33, 70_000] * 6
    arrays = [
        [OnDevice(simulated, np.full(n, r + k, F32)) for k, n in enumerate(counts)]
        for r in range(N)
    ]

    def work(rank):
        for _ in range(2):
            finish(rank.submit_all([seen(x) for x in arrays[rank.rank]], op=Op.AVERAGE))
            handles = [
                rank.submit(Collective.ALLREDUCE, seen(x), op=Op.SUM) for x in arrays[rank.rank]
            ]
            for handle in handles:
                finish(handle)

    _, found_ways = watched(joined, work)
    assert "nccl" in found_ways
    for mine in arrays:
        for k, array in enumerate(mine):
            assert (array.get() == 3 * 3 * (1 + k)).all()
