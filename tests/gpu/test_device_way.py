"""Large arrays stay on their devices; ranks agree on that, and wait for one another there."""

import numpy as np
import pytest

from ringsync.errors import TimedOutError

from ..ranks import Collective, Op, finish, join
from .arrays import OnDevice, seen, values_in

N = 3
F32 = np.float32
LARGE = 100_003
# More than any rank's fusion buffer holds in the simulation.
CUT = 2_500_001


def ones(device, count=LARGE, **how):
    return [OnDevice(device, np.full(count, rank + 1, F32), **how) for rank in range(N)]


@pytest.mark.parametrize("op", [Op.SUM, Op.AVERAGE])
def test_arrays_beyond_the_fusion_buffer_are_cut(device, made, op):
    values = [np.random.default_rng(rank).random(CUT).astype(F32) for rank in range(N)]
    arrays = [OnDevice(device, x) for x in values]
    made.each(lambda rank: rank.allreduce(seen(arrays[rank.rank]), op=op))
    made.each(lambda rank: rank.allreduce(values[rank.rank], op=op))
    for array in arrays:
        np.testing.assert_array_equal(array.get(), values[0])
    arrays = [OnDevice(device, x + rank) for rank, x in enumerate(values)]
    made.each(lambda rank: rank.broadcast(seen(arrays[rank.rank]), root=2))
    for array in arrays:
        np.testing.assert_array_equal(array.get(), values[0] + F32(2))


def test_too_much_for_the_fusion_buffer_of_what_cannot_be_cut_goes_by_the_host(device, made):
    parts = [OnDevice(device, np.full(CUT if rank else 7, rank, F32)) for rank in range(N)]
    results = made.each(lambda rank: rank.allgather(seen(parts[rank.rank])))
    for result in results:
        values = values_in(device, result, F32)
        assert values.shape == (7 + 2 * CUT,)
        assert values[:7].max() == 0
        assert (values[7 : 7 + CUT] == 1).all()
        assert (values[7 + CUT :] == 2).all()


def test_ranks_with_unlike_parts_find_one_way(device, made):
    # Some are too small for the way over devices, some suit it.
    for rows in ([1, LARGE, LARGE], [LARGE, 1, 0], [LARGE] * 3):
        parts = [OnDevice(device, np.ones((n, 2), F32)) for n in rows]
        results = made.each(lambda rank, parts=parts: rank.allgather(seen(parts[rank.rank])))
        for result in results:
            assert values_in(device, result, F32).sum() == 2 * sum(rows)


def test_unlike_ways_to_work_on_one_array_follow_one_another(device, made):
    # Minima go by the host, sums over the devices.
    arrays = ones(device)

    def work(rank):
        x = seen(arrays[rank.rank])
        handles = [
            rank.submit(Collective.ALLREDUCE, x, op=op)
            for op in (Op.SUM, Op.MIN, Op.SUM, Op.MAX, Op.AVERAGE)
        ]
        for handle in handles:
            finish(handle)

    made.each(work)
    assert {float(x) for one in arrays for x in one.get()} == {18.0}


def test_groups_use_their_devices_side_by_side(device, made):
    pair, other = made.group(0, 1), made.group(1, 2)

    def work(rank):
        arrays = [OnDevice(device, np.full(LARGE, rank.rank + 1, F32)) for _ in range(3)]
        groups = [g.number[rank.rank] for g in (pair, other) if rank.rank in g.members]
        if rank.rank == 1:
            groups.reverse()  # another order than that of the others
        handles = [
            rank.submit(Collective.ALLREDUCE, seen(x), group=group)
            for x, group in zip(arrays, [*groups, 0], strict=False)
        ]
        for handle in handles:
            finish(handle)
        return [float(x.get()[-1]) for x in arrays[: len(groups) + 1]]

    assert made.each(work) == [[3.0, 6.0], [5.0, 3.0, 6.0], [5.0, 6.0]]
    pair.close_all()
    other.close_all()


def test_a_rank_that_has_joined_sends_all_by_the_host_and_they_come_back(device, made):
    arrays = ones(device)

    def work(rank):
        x = seen(arrays[rank.rank])
        rank.allreduce(x)
        if rank.rank:
            rank.allreduce(x)
        last = join(rank)
        rank.allreduce(x)
        return last

    made.each(work)
    assert [float(x.get()[0]) for x in arrays] == [6.0 + 12.0 + 12.0] * N


def test_hundreds_of_sums_in_flight_are_right(device, made):
    def work(rank):
        arrays = [OnDevice(device, np.full(17_000, rank.rank + i, F32)) for i in range(60)]
        handles = [rank.submit(Collective.ALLREDUCE, seen(x)) for x in arrays * 3]
        for handle in handles:
            finish(handle)
        return [set(x.get().tolist()) for x in arrays]

    for found in made.each(work):
        assert found == [{27.0 * (1 + i)} for i in range(60)]


def test_arrays_of_many_sizes_and_dtypes_are_summed_in_few_buckets(device, made):
    sizes = [1, 63, 64, 65, 1000, 40_000, 2, 999_983, 7, 128]
    dtypes = [F32, np.float64, np.float16, np.int32]

    def work(rank):
        arrays = [
            OnDevice(device, (np.arange(n) % 5 + rank.rank).astype(dtype))
            for dtype in dtypes
            for n in sizes
        ]
        finish(rank.submit_all([seen(x) for x in arrays], name="g"))
        loose = [rank.submit(Collective.ALLREDUCE, seen(x)) for x in arrays]
        for handle in loose:
            finish(handle)
        return [x.get() for x in arrays]

    expected = [(9 * (np.arange(n) % 5 + 1)).astype(dtype) for dtype in dtypes for n in sizes]
    for results in made.each(work):
        for result, right in zip(results, expected, strict=True):
            np.testing.assert_array_equal(result, right)


@pytest.mark.alone
@pytest.mark.runs_out
def test_a_rank_whose_device_stands_still_is_told_in_time(device, made, gate):
    arrays = ones(device, stream=gate.stream)
    for array in arrays[:2]:
        array.stream = None
    device.keep_memory()
    gate.close()

    def work(rank):
        rank.allreduce(seen(arrays[rank.rank]), name="w", timeout_s=0.5)

    outcomes = made.outcomes(work)
    assert all(isinstance(one, Exception) for one in outcomes), outcomes
    stories = [str(one) for one in outcomes if type(one) is TimedOutError]
    assert stories, outcomes
    others = "have begun it on their devices as well, and one of all these stands still. See what"
    for story in stories:
        told = "rank 2 of 3; its own device" if "on rank 2" in story else others
        assert told in story
