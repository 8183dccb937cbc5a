"""An array takes the way that suits its memory and length; results tell nobody which."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync.errors import PeerLostError

from ..ranks import TRANSPORTS, Collective, Op, finish, join, world

KIB = 1024
both = pytest.mark.parametrize("transport", TRANSPORTS)

# On both sides of every length from which on another way is taken, for 2 to 5 ranks.
LENGTHS_BYTES = [
    4,
    12 * KIB,
    13 * KIB,
    24 * KIB,
    33 * KIB,
    60 * KIB,
    100 * KIB,
    512 * KIB,
    520 * KIB,
]


def values(count, rank):
    """Differ from place to place and rank to rank, and add up exactly."""
    return ((np.arange(count) + 7 * rank) % 251).astype(np.float32)


@both
@pytest.mark.parametrize("n", [2, 3, 5])
@given(
    lengths=st.lists(st.sampled_from(LENGTHS_BYTES), min_size=1, max_size=6),
    is_registered=st.lists(st.booleans(), min_size=30, max_size=30),
    is_blocking=st.booleans(),
)
def test_ranks_may_mix_registered_and_private_arrays(
    worlds, transport, n, lengths, is_registered, is_blocking
):
    def work(rank):
        arrays = []
        for i, length in enumerate(lengths):
            array = values(length // 4, rank.rank)
            is_own = is_registered[(i * n + rank.rank) % 30]
            arrays.append(rank.registered(array) if is_own else array)
        handles = []
        for array in arrays:
            handles.append(rank.submit(Collective.ALLREDUCE, array))
            if is_blocking:
                finish(handles[-1])
        for handle in handles:
            finish(handle)
        return [np.array(array) for array in arrays]

    for arrays in worlds.of(n, transport).each(work):
        for length, array in zip(lengths, arrays, strict=True):
            expected = sum(values(length // 4, rank) for rank in range(n))
            np.testing.assert_array_equal(array, expected)


@both
@pytest.mark.parametrize("kib", [20, 100])
def test_a_rank_that_has_joined_gives_zeros_whatever_the_others_hold(transport, kib):
    def work(rank):
        if rank.rank == 1:
            return join(rank)
        array = values(kib * KIB // 4, rank.rank)
        if rank.rank == 0:
            array = rank.registered(array)
        rank.allreduce(array)
        join(rank)
        return np.array(array)

    with world(3, transport) as ranks:
        first, _, third = ranks.each(work)
        expected = values(kib * KIB // 4, 0) + values(kib * KIB // 4, 2)
        np.testing.assert_array_equal(first, expected)
        np.testing.assert_array_equal(third, expected)
        ranks.require_usable()


@both
@pytest.mark.parametrize("n", [1, 3])
def test_an_empty_array_needs_no_memory_to_be_copied_to(worlds, transport, n):
    empty = np.empty((3, 0), np.float32)
    assert worlds.of(n, transport).each(lambda rank: rank.allreduce(empty.copy()).shape) == (
        [empty.shape] * n
    )


@both
def test_groups_of_the_same_ranks_do_not_share_what_they_copy_to(transport):
    with world(3, transport) as ranks:
        groups = [ranks.group(0, 1, 2) for _ in range(3)]

        def work(rank):
            arrays = [
                np.full(50_000, 100 * turn + 10 * g + rank.rank, np.int32)
                for turn in range(20)
                for g in range(3)
            ]
            handles = [
                rank.submit(
                    Collective.ALLREDUCE, array, op=Op.MAX, group=groups[i % 3].number[rank.rank]
                )
                for i, array in enumerate(arrays)
            ]
            for handle in handles:
                finish(handle)
            return [(int(array.min()), int(array.max())) for array in arrays]

        expected = [
            (100 * turn + 10 * g + 2, 100 * turn + 10 * g + 2)
            for turn in range(20)
            for g in range(3)
        ]
        assert ranks.each(work) == [expected] * 3


@both
def test_an_array_whose_operation_fails_is_as_it_was(transport):
    with world(3, transport) as ranks:

        def work(rank):
            array = np.full(50_000, rank.rank, np.float32)
            if rank.rank == 2:
                rank.engine.shutdown("it had enough")
                return array
            with pytest.raises(PeerLostError, match="it had enough"):
                rank.allreduce(array)
            return array

        for rank, array in enumerate(ranks.each(work)):
            assert (array == rank).all()
