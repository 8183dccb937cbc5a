"""What goes wrong while ranks have joined: who is told, and that the others go on."""

import numpy as np
import pytest

from ringsync.errors import ConfigError, MismatchError, PeerLostError, TimedOutError

from ..ranks import DEADLINE_S, TRANSPORTS, Collective, Op, finish, join, world

both = pytest.mark.parametrize("transport", TRANSPORTS)


@pytest.mark.parametrize(
    ("kind", "how", "what"),
    [
        (Collective.ALLREDUCE, {"op": Op.MIN}, "Min"),
        (Collective.ALLREDUCE, {"op": Op.MAX}, "Max"),
        (Collective.ALLREDUCE, {"op": Op.PRODUCT}, "Product"),
        (Collective.REDUCE_SCATTER, {"op": Op.MAX}, "Max"),
        (Collective.ALLGATHER, {}, "allgather"),
        (Collective.BROADCAST, {"root": 1}, "broadcast"),
        (Collective.ALLTOALL, {"splits": (2, 2, 2)}, "alltoall"),
    ],
)
@pytest.mark.parametrize("is_large", [False, True])
def test_what_needs_every_rank_names_those_that_have_joined(worlds, kind, how, what, is_large):
    made = worlds.of(3, "inproc")

    def work(rank):
        if rank.rank == 2:
            return join(rank)
        rank.allreduce(np.ones(3), name="first")
        for _ in range(2):
            with pytest.raises(MismatchError) as caught:
                rank.run(kind, np.ones((6, 50_000 if is_large else 1)), name="x", **how)
            assert str(caught.value) == (
                f"[{kind.name.lower()}] 'x': rank 2 has joined, with nothing to contribute to "
                f"{what}; Sum, Average and barrier go on without. Call it before the first rank "
                "joins, or after join() has returned."
            )
        array = np.ones(3)
        rank.allreduce(array)
        assert array.tolist() == [2.0] * 3
        return join(rank)

    outcomes = made.each(work)
    assert outcomes == outcomes[:1] * 3
    made.require_usable()


def test_several_joined_ranks_are_all_named():
    with world(4) as ranks:

        def work(rank):
            if rank.rank in {0, 3}:
                return join(rank)
            with pytest.raises(MismatchError, match=r"'g': ranks \{0, 3\} have joined, with"):
                rank.allgather(np.ones(3), name="g")
            return join(rank)

        # Both of them have joined only once the others have waited for them.
        ranks.each(work)
        ranks.require_usable()


@pytest.mark.parametrize("early", [0, 1, 2])
def test_a_mismatch_of_the_others_names_none_who_has_joined(early):
    with world(3) as ranks:

        def work(rank):
            if rank.rank == early:
                return join(rank)
            first, second = (i for i in range(3) if i != early)
            with pytest.raises(MismatchError) as caught:
                rank.allreduce(np.ones(3 + (rank.rank == second)), name="x")
            assert f"'x': rank {second} sent shape (4,), rank {first} (3,)" in str(caught.value)
            lengths = [3] * (2 + (rank.rank == second))
            with pytest.raises(MismatchError, match=r"a group of"):
                finish(rank.submit_all([np.ones(length) for length in lengths]))
            return join(rank)

        ranks.each(work)
        ranks.require_usable()


def test_a_rank_that_has_joined_submits_nothing():
    with world(2) as ranks:
        first, second = ranks.ranks
        handle = first.submit(Collective.JOIN, np.zeros(1, np.int64))
        for kind in (Collective.ALLREDUCE, Collective.JOIN):
            array = np.zeros(1, np.int64)
            with pytest.raises(ConfigError) as caught:
                first.run(kind, array)
            assert str(caught.value) == (
                f"[{kind.name.lower()}] rank 0 has joined, and takes part with zeros until every "
                "rank has. Submit it before join(), or after join() has returned."
            )
        assert join(second) == 1
        finish(handle)
        ranks.require_usable()


@both
def test_ranks_that_have_joined_send_and_receive(transport):
    with world(2, transport) as ranks:

        def work(rank):
            if rank.rank == 0:
                received = rank.submit_recv(np.zeros(3), 1)
                last = join(rank)
                return last, received.result().tolist()
            rank.allreduce(np.ones(3), name="more")
            rank.send(np.ones(3), 0)
            return join(rank), [1.0] * 3

        assert ranks.each(work) == [(1, [1.0] * 3)] * 2


@pytest.mark.alone
@both
def test_time_counts_from_the_last_operation_in_which_a_rank_took_part(transport):
    with world(2, transport) as ranks:

        def work(rank):
            if rank.rank == 0:
                # Shorter than all turns together, longer than each of them.
                return join(rank, timeout_s=1.0)
            for turn in range(15):
                rank.run(Collective.ALLREDUCE, np.ones(30_000), name=f"{turn}")
                with pytest.raises(TimedOutError):  # passes a tenth of a second
                    rank.submit_recv(np.ones(1), 0, timeout_s=DEADLINE_S).wait(0.1)
            return join(rank)

        outcomes = ranks.outcomes(work)
        assert outcomes[0] == 1, outcomes


def test_whoever_keeps_a_joined_rank_waiting_is_named():
    with world(3) as ranks:

        def work(rank):
            if rank.rank == 1:
                return
            rank.run(Collective.JOIN, np.zeros(1, np.int64), timeout_s=0.3)

        outcomes = ranks.outcomes(work)
        late = [one for one in outcomes if isinstance(one, TimedOutError)]
        assert late, outcomes
        assert any(
            "[join] 'join': not complete after" in str(one) and "ranks {1} did not" in str(one)
            for one in late
        ), outcomes


@both
def test_a_rank_that_leaves_ends_the_join_of_the_others(transport):
    with world(3, transport) as ranks:

        def work(rank):
            if rank.rank == 1:
                rank.allreduce(np.ones(3), name="more")
                rank.engine.shutdown("it has had enough")
                return
            if rank.rank == 2:
                rank.allreduce(np.ones(3), name="more")
            join(rank)

        outcomes = ranks.outcomes(work)
        for lost in (outcomes[0], outcomes[2]):
            assert isinstance(lost, PeerLostError), outcomes
            assert "lost rank 1" in str(lost)
            assert "it has had enough" in str(lost)


@pytest.mark.parametrize(
    ("array", "how"),
    [
        (np.zeros(2, np.int64), {}),
        (np.zeros(1, np.float64), {}),
        (np.zeros(1, np.int64), {"name": "x"}),
    ],
)
def test_an_answer_has_one_place(array, how):
    with world(1) as ranks, pytest.raises(ConfigError, match=r"a single int64 without a name"):
        ranks.ranks[0].run(Collective.JOIN, array, **how)
