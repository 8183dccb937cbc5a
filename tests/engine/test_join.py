"""Ranks that join early: what the others do goes on with zeros of theirs, until all have joined."""

import random

import numpy as np
import pytest

from ..ranks import TRANSPORTS, Collective, Op, finish, join, until, world

both = pytest.mark.parametrize("transport", TRANSPORTS)

# Carried in an announcement, through queues or in place, and one that rings cut into chunks.
LENGTHS = [0, 1, 5, 9000, 70_000, 700_001]


@both
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_who_joins_later_is_last_on_all_ranks(worlds, transport, n):
    for late in range(n):

        def work(rank, late=late):
            if rank.rank == late:
                rank.allreduce(np.ones(3), name="more")
            return join(rank)

        assert worlds.of(n, transport).each(work) == [late] * n
    worlds.of(n, transport).require_usable()


@both
def test_of_ranks_that_join_at_one_point_the_later_call_is_last(transport):
    with world(2, transport) as ranks:
        joined = []

        def work(rank):
            if rank.rank == 0:
                until(lambda: joined)
                return join(rank)
            handle = rank.submit(Collective.JOIN, np.zeros(1, np.int64))
            joined.append(handle)
            finish(handle)
            return int(handle._result()[0])

        assert ranks.each(work) == [0, 0]


@both
@pytest.mark.parametrize("algorithm", ["", "ring"])
@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("is_registered", [False, True])
def test_sums_are_those_of_ranks_that_have_not_joined(
    worlds, transport, algorithm, n, is_registered
):
    def work(rank):
        outcome = []
        # Rank r makes r + 1 rounds of calls.
        for turn in range(rank.rank + 1):
            present = range(turn, n)
            for length in LENGTHS:
                array = np.full(length, rank.rank + 1.0, np.float32)
                if is_registered:
                    array = rank.registered(array)
                rank.allreduce(array, name=f"sum.{length}")
                assert (array == sum(i + 1 for i in present)).all()
                mean = np.full(length, rank.rank + 1, np.float64)
                rank.allreduce(mean, op=Op.AVERAGE)  # without a name
                outcome.append(mean.tobytes())
                np.testing.assert_allclose(mean, sum(i + 1 for i in present) / n)
        return join(rank), outcome

    outcomes = worlds.of(n, transport, algorithm).each(work)
    assert [last for last, _ in outcomes] == [n - 1] * n
    # Equal bits on all that took part.
    longest = outcomes[-1][1]
    for _, means in outcomes:
        assert means == longest[: len(means)]
    worlds.of(n, transport, algorithm).require_usable()


@both
def test_calls_without_a_name_meet_again_after_unlike_numbers_of_them(transport):
    with world(3, transport) as ranks:

        def work(rank):
            for _ in range(2):
                for _ in range(3 * (2 - rank.rank)):
                    rank.allreduce(np.ones(4))
                assert join(rank) == 0
                array = np.ones(4)
                rank.allreduce(array)
                assert array.tolist() == [3.0] * 4
            return True

        assert ranks.each(work) == [True] * 3
        ranks.require_usable()


@both
def test_scales_groups_and_reduce_scatter_go_on_without_joined_ranks(transport):
    with world(3, transport) as ranks:

        def work(rank):
            if rank.rank != 1:
                arrays = [np.full(length, 2.0, np.float32) for length in (3, 100_000, 0, 7)]
                finish(rank.submit_all(arrays, name="group", prescale=0.5, postscale=3.0))
                assert [array.sum() for array in arrays] == [18.0, 600_000.0, 0.0, 42.0]
                finish(rank.submit_all([], name="none"))
                for length in (6, 90_000):
                    rows = np.full((length, 2), rank.rank + 1.0)
                    mine = rank.reduce_scatter(rows, op=Op.AVERAGE)
                    assert mine.shape == (length // 3, 2)
                    np.testing.assert_allclose(mine, 4 / 3)
                rank.barrier()
            return join(rank) in {0, 2}

        assert ranks.each(work) == [True] * 3
        ranks.require_usable()


@both
@pytest.mark.parametrize("early", [0, 1, 2, 3])
def test_those_who_go_on_may_submit_in_any_order(transport, early):
    lengths = {f"layer{i}": [3, 500, 9000, 70_000][i % 4] for i in range(24)}
    with world(4, transport) as ranks:

        def work(rank):
            chance = random.Random(rank.rank)
            turns = 2 if rank.rank == early else 6
            for turn in range(turns):
                names = list(lengths)
                chance.shuffle(names)
                arrays = {name: np.full(lengths[name], 1.0) for name in names}
                handles = {
                    name: rank.submit(Collective.ALLREDUCE, arrays[name], name=name)
                    for name in names
                }
                for handle in handles.values():
                    finish(handle)
                total = 4.0 if turn < 2 else 3.0
                assert all((array == total).all() for array in arrays.values())
            return join(rank) != early

        for _ in range(2):
            assert ranks.each(work) == [True] * 4
        ranks.require_usable()


@both
def test_a_rank_may_join_while_others_look_for_an_order(transport):
    """What it does not have they agree on without it."""
    with world(3, transport) as ranks:

        def work(rank):
            if rank.rank == 1:
                return join(rank)
            names = ["a", "b", "c"] if rank.rank == 0 else ["b", "c", "a"]
            for _ in range(4):
                arrays = {name: np.full(3, rank.rank + 1.0) for name in names}
                handles = [
                    rank.submit(Collective.ALLREDUCE, arrays[name], name=name) for name in names
                ]
                for handle in handles:
                    finish(handle)
                assert all(array.tolist() == [4.0] * 3 for array in arrays.values())
            return join(rank)

        outcomes = ranks.each(work)
        assert outcomes[0] in {0, 2}
        assert outcomes == outcomes[:1] * 3
        ranks.require_usable()


@both
def test_operations_in_flight_are_completed_before_their_rank_joins(transport):
    with world(3, transport) as ranks:

        def work(rank):
            arrays = [np.full(length, rank.rank + 1.0) for length in (4, 50_000, 4)]
            handles = [
                rank.submit(Collective.ALLREDUCE, array, name=f"a{i}")
                for i, array in enumerate(arrays)
            ]
            if rank.rank == 2:
                last = join(rank)
                assert all(handle.done() for handle in handles)
            else:
                for handle in handles:
                    finish(handle)
                last = join(rank)
            assert all((array == 6.0).all() for array in arrays)
            return last

        outcomes = ranks.each(work)
        assert outcomes == outcomes[:1] * 3
