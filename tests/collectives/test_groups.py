"""Many arrays in one call: all are submitted or none, and results are those of single calls."""

import numpy as np
import pytest

import ringsync as rs
from ringsync.errors import ConfigError, DuplicateNameError, MismatchError, TimedOutError

from ..ranks import DEADLINE_S, Collective, Op, finish, world

FORMS = [rs.grouped_allreduce, rs.grouped_allreduce_]
ASYNC_FORMS = [rs.grouped_allreduce_async, rs.grouped_allreduce_async_]


@pytest.mark.parametrize("form", FORMS)
def test_a_group_returns_its_arrays_in_order(form):
    arrays = [np.full(i, i, np.float32) for i in range(5)]
    results = form(arrays, op=rs.Sum, name="layers")
    assert [result.tolist() for result in results] == [array.tolist() for array in arrays]
    is_in_place = form is rs.grouped_allreduce_
    shared = [result is array for result, array in zip(results, arrays, strict=True)]
    assert shared == [is_in_place] * 5


@pytest.mark.parametrize("form", ASYNC_FORMS)
def test_a_grouped_handle_is_done_once_all_are(form):
    handle = form(np.ones(i) for i in range(1, 4))
    handle.wait(DEADLINE_S)
    assert handle.done()
    assert [result.size for result in handle.result()] == [1, 2, 3]


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_group_is_no_operation(form):
    assert form([]) == []


@pytest.mark.parametrize("form", FORMS + ASYNC_FORMS)
def test_one_bad_array_refuses_the_whole_group(form):
    with pytest.raises(ConfigError, match=rf"\[{form.__name__}: array 1\] .*complex64 is not supp"):
        form([np.ones(3), np.ones(3, np.complex64)], name="layers")
    rs.grouped_allreduce([np.ones(3)], name="layers")  # nothing of that name is in flight


def test_arrays_that_share_memory_are_refused():
    memory = np.ones(10)
    with pytest.raises(ConfigError, match=r"arrays 0 and 2 of the group share memory"):
        rs.grouped_allreduce_([memory[:6], np.ones(2), memory[5:]])


def test_a_name_in_flight_refuses_the_group_and_leaves_no_name_behind():
    with world(2) as ranks:
        first, second = ranks.ranks
        arrays = [np.full(4, i, np.float64) for i in range(3)]
        waiting = first.submit(Collective.ALLREDUCE, np.ones(4), name="g.2", op=Op.SUM)
        with pytest.raises(DuplicateNameError, match=r"'g\.2' is still in flight on rank 0"):
            first.submit_all(arrays, name="g")
        finish_both(waiting, second.submit(Collective.ALLREDUCE, np.ones(4), name="g.2"))
        mine = first.submit_all(arrays, name="g")
        finish_both(mine, second.submit_all([array.copy() for array in arrays], name="g"))
        assert [array[0] for array in arrays] == [0, 2, 4]


def finish_both(mine, theirs):
    finish(mine)
    finish(theirs)


def test_a_group_of_mixed_lengths_and_dtypes_meets_its_like():
    with world(3) as ranks:

        def work(rank):
            dtypes = [np.float32, np.int64, np.float64]
            lengths = [3, 0, 100, 70_000, 5, 17_000, 1]
            arrays = [np.full(n, rank.rank + i, dtypes[i % 3]) for i, n in enumerate(lengths)]
            finish(rank.submit_all(arrays, name="g"))
            return all((array == 3 + 3 * i).all() for i, array in enumerate(arrays))

        assert ranks.each(work) == [True] * 3


@pytest.mark.parametrize("name", ["g", None])
@pytest.mark.parametrize("count", [3, 40_000], ids=["carried", "alone"])
def test_groups_of_different_length_end_as_a_whole_and_leave_ranks_in_step(name, count):
    with world(2) as ranks:

        def work(rank):
            arrays = [np.ones(count) for _ in range(3 - rank.rank)]
            group = rank.submit_all(arrays, name=name)
            sums = [
                rank.allreduce(np.full(count, float(i)), name=name and "next") for i in range(4)
            ]
            assert [float(values[-1]) for values in sums] == [0, 2, 4, 6]
            with pytest.raises(MismatchError) as raised:
                finish(group)
            assert all((array == 1).all() for array in arrays)
            return str(raised.value)

        first, second = ranks.each(work)
        assert first == second
        assert "rank 1 submitted array 0 of a group of 2, rank 0 array 0 of a group of 3" in first


@pytest.mark.parametrize("name", ["g", None])
def test_a_group_of_none_is_a_call_like_any_other(name):
    with world(2) as ranks:

        def work(rank):
            finish(rank.submit_all([], name=name))
            group = rank.submit_all([np.ones(3) for _ in range(2 * rank.rank)], name=name)
            sums = [rank.allreduce(np.full(3, float(i)), name=name and "next") for i in range(4)]
            assert [float(values[-1]) for values in sums] == [0, 2, 4, 6]
            with pytest.raises(MismatchError) as raised:
                finish(group)
            return str(raised.value)

        first, second = ranks.each(work)
        assert first == second
        assert first.startswith("[grouped_allreduce] " + ("'g.0': " if name else "'unnamed "))
        assert "rank 1 submitted array 0 of a group of 2, rank 0 a group of no arrays" in first


def test_what_has_no_name_is_told_apart_by_its_place_in_the_group():
    with world(2) as ranks:

        def work(rank):
            lengths = [3, 4, 5 + rank.rank]
            with pytest.raises(MismatchError, match=r"'unnamed 0\.2': rank 1 sent shape \(6,\)"):
                finish(rank.submit_all([np.ones(length) for length in lengths]))

        ranks.each(work)


@pytest.mark.parametrize("is_grouped", [False, True])
def test_a_handle_calls_what_has_no_name_as_all_other_messages_do(is_grouped):
    with world(2) as ranks:
        first, second = ranks.ranks

        def submit(rank, length):
            if is_grouped:
                return rank.submit_all([np.ones(length), np.ones(length)])
            return rank.submit(Collective.ALLREDUCE, np.ones(length))

        ranks.each(lambda rank: finish(submit(rank, 1)))
        handle = submit(first, 2)
        with pytest.raises(TimedOutError, match=r"\[wait\] 'unnamed 1' of test is not complete"):
            handle.wait(0.05)
        other = submit(second, 3)
        for each in (handle, other):
            with pytest.raises(MismatchError, match=r"'unnamed 1(\.0)?': rank 1 sent shape"):
                finish(each)


def test_waiting_for_a_group_has_a_limit_of_its_own():
    with world(2) as ranks:
        first, second = ranks.ranks
        handle = first.submit_all([np.ones(2), np.ones(3)], name="g")
        with pytest.raises(TimedOutError, match=r"'g' is not complete after 0\.05 s; it goes on"):
            handle.wait(0.05)
        assert not handle.done()
        second.submit_all([np.ones(2), np.ones(3)], name="g")
        handle.wait(DEADLINE_S)
