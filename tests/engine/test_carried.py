"""Small operations travel in their announcements, several at once; nobody can tell from results."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync.errors import MismatchError

from ..ranks import TRANSPORTS, Collective, Op, finish, world

KIB = 1024
both = pytest.mark.parametrize("transport", TRANSPORTS)

# Below, at and above what one message holds, and where reading peers' memory begins.
LENGTHS_BYTES = st.sampled_from(
    [0, 4, 60, KIB, 16 * KIB, 64 * KIB - 4, 64 * KIB, 64 * KIB + 4, 200 * KIB, 5 * KIB * KIB]
)


def pieces(count):
    """`count` values that add up exactly and differ from place to place."""
    return (np.arange(count) % 251).astype(np.float32)


@both
@pytest.mark.parametrize("n", [2, 3, 5])
@given(
    lengths=st.lists(LENGTHS_BYTES, min_size=1, max_size=12),
    op=st.sampled_from([Op.SUM, Op.AVERAGE]),
)
def test_operations_of_any_length_in_flight_together_equal_numpy(worlds, transport, n, lengths, op):
    def work(rank):
        arrays = [pieces(length // 4) + rank.rank for length in lengths]
        handles = [rank.submit(Collective.ALLREDUCE, array, op=op) for array in arrays]
        for handle in handles:
            finish(handle)
        return arrays

    scale = np.float32(1) / np.float32(n) if op is Op.AVERAGE else np.float32(1)
    for arrays in worlds.of(n, transport).each(work):
        for length, array in zip(lengths, arrays, strict=True):
            expected = (pieces(length // 4) * n + n * (n - 1) // 2) * scale
            np.testing.assert_array_equal(array, expected)


@both
def test_ranks_that_submit_at_different_times_meet_all_the_same(worlds, transport):
    def work(rank):
        found = []
        for turn in range(30):
            arrays = [np.full(1 + i, rank.rank + i, np.int64) for i in range(40)]
            handles = []
            for i, array in enumerate(arrays):
                # Rank by rank other operations are alone in the queue when the engine looks.
                if i % (3 + rank.rank) == turn % 3:
                    finish(rank.submit(Collective.ALLREDUCE, array))
                else:
                    handles.append(rank.submit(Collective.ALLREDUCE, array))
            for handle in handles:
                finish(handle)
            found.append([int(array[-1]) for array in arrays])
        return found

    expected = [[3 + 3 * i for i in range(40)]] * 30
    assert worlds.of(3, transport).each(work) == [expected] * 3


def test_a_mismatch_among_operations_in_flight_fails_that_one_alone():
    with world(3) as ranks:

        def work(rank):
            arrays = [np.full(10, rank.rank, np.float32) for _ in range(20)]
            if rank.rank == 2:
                arrays[7] = np.full(11, 2, np.float32)
            handles = [
                rank.submit(Collective.ALLREDUCE, array, name=f"layer{i}")
                for i, array in enumerate(arrays)
            ]
            for i, handle in enumerate(handles):
                if i != 7:
                    finish(handle)
                    assert (arrays[i] == 3).all()
            with pytest.raises(MismatchError, match=r"'layer7': rank 2 sent shape \(11,\)"):
                finish(handles[7])
            assert (arrays[7] == rank.rank).all()

        ranks.each(work)
        ranks.require_usable()


@both
def test_small_ones_go_past_large_ones_and_nothing_goes_past_a_barrier(worlds, transport):
    def work(rank):
        shared = np.full(10, rank.rank + 1.0)
        steps = []
        for turn in range(20):
            steps.append(rank.submit(Collective.ALLREDUCE, np.ones(1 + turn)))
            steps.append(rank.submit(Collective.BARRIER))
            steps.append(rank.submit(Collective.BROADCAST, np.full(3, turn), root=turn % 3))
            steps.append(rank.submit(Collective.ALLREDUCE, np.ones(40_000 * (1 + turn % 2))))
        steps.append(rank.submit(Collective.ALLREDUCE, shared))
        for step in steps:
            finish(step)
        done_ns = [step.times()[3] for step in steps]
        for barrier in range(1, len(steps), 4):
            assert min(done_ns[barrier:]) == done_ns[barrier]
        return float(shared[0])

    assert worlds.of(3, transport).each(work) == [6.0] * 3


@both
@pytest.mark.parametrize("count", [3, 5000])
def test_one_array_in_several_operations_in_flight_is_theirs_one_after_another(
    worlds, transport, count
):
    def work(rank):
        array = np.full(count, rank.rank + 1.0)
        whole = [rank.submit(Collective.ALLREDUCE, array) for _ in range(2)]
        part = rank.submit(Collective.ALLREDUCE, array[1:])
        for handle in [*whole, part]:
            finish(handle)
        return [float(array[0]), float(array[-1])]

    assert worlds.of(2, transport).each(work) == [[6.0, 12.0]] * 2


def test_hundreds_of_tiny_operations_are_announced_in_turns(worlds):
    def work(rank):
        arrays = [np.full(1, rank.rank + i, np.int32) for i in range(900)]
        for handle in [rank.submit(Collective.ALLREDUCE, array) for array in arrays]:
            finish(handle)
        return [int(array[0]) for array in arrays]

    assert worlds.of(2, "inproc").each(work) == [[1 + 2 * i for i in range(900)]] * 2


def test_many_ranks_carry_little_at_a_time():
    """So many share an inbox that a message holds 32 KiB: more goes by other ways."""
    n = 33
    with world(n) as ranks:

        def work(rank):
            arrays = [pieces(length // 4) + rank.rank for length in (400, 4000, 30_000, 70_000)]
            for handle in [rank.submit(Collective.ALLREDUCE, array) for array in arrays]:
                finish(handle)
            return arrays

        for arrays in ranks.each(work):
            for array in arrays:
                np.testing.assert_array_equal(array, pieces(array.size) * n + n * (n - 1) // 2)
