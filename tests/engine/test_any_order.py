"""Ranks may submit what they name in any order: they agree on one, and soon without asking."""

import random
import threading

import numpy as np
import pytest

from ringsync.errors import MismatchError, TimedOutError

from ..ranks import DEADLINE_S, TRANSPORTS, Collective, Op, finish, world

both = pytest.mark.parametrize("transport", TRANSPORTS)


def times_asked(rank) -> int:
    """How often the rank has asked for the order since its events were last taken."""
    return sum(name == "order" for _, name, *_ in rank.engine.take_events())


@both
@pytest.mark.parametrize("n", [2, 3, 4])
def test_named_operations_meet_in_whatever_order_each_rank_submits_them(worlds, transport, n):
    lengths = {f"layer{i}": [3, 500, 9000, 70_000, 0][i % 5] for i in range(40)}

    def work(rank):
        chance = random.Random(rank.rank)
        for turn in range(5):
            names = list(lengths)
            chance.shuffle(names)
            arrays = {name: np.full(lengths[name], rank.rank + turn, np.int64) for name in names}
            handles = {
                name: rank.submit(Collective.ALLREDUCE, arrays[name], name=name) for name in names
            }
            chance.shuffle(names)
            for name in names:
                finish(handles[name])
            total = n * (n - 1) // 2 + n * turn
            assert all((array == total).all() for array in arrays.values())
        return True

    assert worlds.of(n, transport).each(work) == [True] * n


@both
def test_a_rank_may_wait_for_one_before_it_submits_what_others_have_submitted_first(transport):
    with world(3, transport) as ranks:

        def work(rank):
            first, second = np.ones(5), np.full(5, 2.0)
            if rank.rank == 1:
                rank.allreduce(second, name="second")
                rank.allreduce(first, name="first")
            else:
                handles = [
                    rank.submit(Collective.ALLREDUCE, first, name="first"),
                    rank.submit(Collective.ALLREDUCE, second, name="second"),
                ]
                for handle in handles:
                    finish(handle)
            return first.tolist() + second.tolist()

        assert ranks.each(work) == [[3.0] * 5 + [6.0] * 5] * 3


@both
def test_ranks_that_keep_to_their_orders_soon_agree_without_asking(transport):
    names = [f"layer{i}" for i in range(30)]
    submitted = threading.Barrier(3)
    with world(3, transport) as ranks:

        def work(rank):
            rank.engine.start_events()
            asked = []
            for _ in range(6):
                # The gate opens once two of them have submitted all that is behind it.
                if rank.rank == 2:
                    submitted.wait(DEADLINE_S)
                mine = names[::-1] if rank.rank == 1 else names
                handles = [
                    rank.submit(Collective.ALLREDUCE, np.ones(20_000), name=name)
                    for name in ["gate", *mine]
                ]
                if rank.rank != 2:
                    submitted.wait(DEADLINE_S)
                for handle in handles:
                    finish(handle)
                asked.append(times_asked(rank))
            return asked

        for asked in ranks.each(work):
            assert asked[3:] == [0] * 3


@both
def test_a_group_stays_together_whatever_comes_before_it_elsewhere(transport):
    with world(3, transport) as ranks:

        def work(rank):
            arrays = [np.full(9000, float(i)) for i in range(6)]
            alone = np.ones(4)
            calls = [
                lambda: rank.submit_all(arrays, name="group"),
                lambda: rank.submit(Collective.ALLREDUCE, alone, name="alone"),
                lambda: rank.submit(Collective.BARRIER, name="barrier"),
            ]
            for handle in [call() for call in calls[rank.rank :] + calls[: rank.rank]]:
                finish(handle)
            return [array[-1] for array in arrays] + [alone[0]]

        assert ranks.each(work) == [[0.0, 3.0, 6.0, 9.0, 12.0, 15.0, 3.0]] * 3


@both
def test_a_group_stays_together_where_its_small_arrays_travel_with_what_comes_before(transport):
    submitted = threading.Barrier(3)
    with world(3, transport) as ranks:

        def work(rank):
            # The gate opens once two of them have submitted all that is behind it.
            if rank.rank == 2:
                submitted.wait(DEADLINE_S)
            large = {name: np.full(20_000, 1.0) for name in ("gate", "one", "two")}
            small = np.ones(2)
            group = [np.ones(3), np.ones(20_000), np.ones(4)]

            def start(name):
                if name == "group":
                    return rank.submit_all(group, name="group")
                return rank.submit(Collective.ALLREDUCE, large.get(name, small), name=name)

            names = ["one", "group", "two"] if rank.rank == 1 else ["group", "one", "two"]
            handles = [start(name) for name in ["gate", "small", *names]]
            if rank.rank != 2:
                submitted.wait(DEADLINE_S)
            for handle in handles:
                finish(handle)
            return [array[0] for array in [*large.values(), small, *group]]

        assert ranks.each(work) == [[3.0] * 7] * 3


@both
def test_calls_without_a_name_meet_by_their_own_order_among_named_ones(transport):
    with world(2, transport) as ranks:

        def work(rank):
            arrays = [np.full(3, 10.0 * i) for i in range(4)]
            names = [None, "x", None, "y"] if rank.rank == 0 else ["y", None, "x", None]
            order = [0, 1, 2, 3] if rank.rank == 0 else [3, 0, 1, 2]
            handles = [
                rank.submit(Collective.ALLREDUCE, arrays[i], name=name)
                for i, name in zip(order, names, strict=True)
            ]
            for handle in handles:
                finish(handle)
            return [array[0] for array in arrays]

        assert ranks.each(work) == [[0.0, 20.0, 40.0, 60.0]] * 2


@both
def test_sends_of_two_ranks_meet_by_name(transport):
    with world(2, transport) as ranks:

        def work(rank):
            arrays = [np.full(4, float(i)) if rank.rank == 0 else np.zeros(4) for i in range(3)]
            start = rank.submit_send if rank.rank == 0 else rank.submit_recv
            order = [0, 1, 2] if rank.rank == 0 else [2, 0, 1]
            handles = [start(arrays[i], 1 - rank.rank, name=f"part{i}") for i in order]
            for handle in handles:
                finish(handle)
            return [array[0] for array in arrays]

        assert ranks.each(work) == [[0.0, 1.0, 2.0]] * 2


def test_a_mismatch_ends_one_operation_wherever_the_ranks_have_it():
    with world(3) as ranks:

        def work(rank):
            names = ["a", "b", "c", "d"]
            lengths = {name: 3 + (name == "c" and rank.rank == 2) for name in names}
            names = names[rank.rank :] + names[: rank.rank]
            handles = {
                name: rank.submit(Collective.ALLREDUCE, np.ones(lengths[name]), name=name)
                for name in names
            }
            with pytest.raises(MismatchError, match=r"'c': rank 2 sent shape \(4,\)"):
                finish(handles.pop("c"))
            for handle in handles.values():
                finish(handle)

        ranks.each(work)
        ranks.require_usable()


def test_what_only_some_have_submitted_is_named_with_those_that_have_not():
    with world(3) as ranks:

        def work(rank):
            name = "fc2" if rank.rank == 2 else "fc1"
            limit_s = DEADLINE_S if rank.rank == 2 else 0.3
            rank.run(Collective.ALLREDUCE, np.ones(3), name=name, timeout_s=limit_s)

        outcomes = ranks.outcomes(work)
        late = [str(one) for one in outcomes if isinstance(one, TimedOutError) and 2 in one.missing]
        assert any(
            "'fc1': not complete after" in text
            and "ranks {2} did not take part in time; rank 2 has submitted 'fc2'" in text
            for text in late
        ), outcomes


@both
def test_thousands_of_operations_in_another_order_are_agreed_on_at_once(transport):
    count = 20_000  # more than one message names
    with world(2, transport) as ranks:

        def work(rank):
            order = range(count) if rank.rank == 0 else range(count - 1, -1, -1)
            arrays = [np.full(1, i, np.int64) for i in range(count)]
            handles = [rank.submit(Collective.ALLREDUCE, arrays[i], name=str(i)) for i in order]
            for handle in handles:
                handle.wait(DEADLINE_S)
            return all(int(array[0]) == 2 * i for i, array in enumerate(arrays))

        assert ranks.each(work) == [True] * 2


def test_equal_orders_are_never_asked_for():
    with world(3) as ranks:

        def work(rank):
            rank.engine.start_events()
            for turn in range(50):
                rank.allreduce(np.ones(100), name=f"layer{turn % 7}", op=Op.SUM)
            return times_asked(rank)

        assert ranks.each(work) == [0] * 3


@both
def test_a_group_that_is_told_apart_in_its_middle_is_not_parted(transport):
    # Ranks would be left with its second array at unlike places, and wait for each other for ever.
    with world(2, transport) as ranks:
        large = [np.ones(1 << 16) for _ in range(4)]
        waiting = [np.ones(1 << 21) for _ in range(2)]

        def work(rank):
            def one(name, array):
                return rank.submit(Collective.ALLREDUCE, array, name=name, op=Op.SUM)

            def group():
                arrays = [np.ones(3), np.ones(3 + rank.rank)]
                return rank.submit_all(arrays, name="B", op=Op.SUM)

            array = large[2 * rank.rank : 2 * rank.rank + 2]
            handles = [one("W", waiting[rank.rank]), one("X", np.ones(2))]
            if rank.rank == 0:
                handles += [one("L", array[0]), group()]
            else:
                handles += [group(), one("L", array[0])]
            handles.append(one("M", array[1]))
            differs = handles[3 - rank.rank]
            for handle in handles:
                if handle is differs:
                    with pytest.raises(MismatchError, match=r"'B\.1': rank 1 sent shape \(4,\)"):
                        finish(handle)
                else:
                    finish(handle)
            return [values[0] for values in array]

        assert ranks.each(work) == [[2.0, 2.0]] * 2
        ranks.require_usable()


@both
def test_what_usually_comes_next_waits_for_what_works_on_the_same_memory(transport):
    with world(2, transport) as ranks:
        sum_of = [
            lambda name, rank=rank: rank.submit(Collective.ALLREDUCE, np.ones(4), name=name)
            for rank in ranks.ranks
        ]

        def both_ranks(name):
            for handle in [submit(name) for submit in sum_of]:
                finish(handle)

        handles = [sum_of[0]("p"), sum_of[1]("q"), sum_of[0]("q"), sum_of[1]("p")]
        for handle in handles:
            finish(handle)
        for name in ("e", "b", "x", "e"):  # b has followed e
            both_ranks(name)
        arrays, large = np.ones((2, 4)), np.ones((2, 1 << 21))
        handles = []
        for rank, array, before in zip(ranks.ranks, arrays, large, strict=True):
            handles += [
                rank.submit(Collective.ALLREDUCE, before),
                rank.submit(Collective.ALLREDUCE, array, name="g", op=Op.SUM),
                rank.submit(Collective.ALLREDUCE, array, name="b", op=Op.PRODUCT),
            ]
        for handle in handles:
            finish(handle)
        assert (arrays == 4).all()  # (1 + 1) * (1 + 1)
