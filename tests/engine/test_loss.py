"""A rank that does not come, leaves, or is shut down: who it was and why, on every other rank."""

import threading

import numpy as np
import pytest

from ringsync.errors import NotInitializedError, PeerLostError, TimedOutError

from ..ranks import ALGORITHMS, DEADLINE_S, TRANSPORTS, Collective, finish, side_by_side, world

both = pytest.mark.parametrize("transport", TRANSPORTS)
either = pytest.mark.parametrize("algorithm", ALGORITHMS)


@both
def test_a_time_out_names_the_tensor_and_the_ranks_that_are_missing(transport):
    with world(4, transport) as ranks:

        def work(rank):
            if rank.rank in {0, 2}:
                rank.allreduce(np.ones(5), name="fc1", timeout_s=0.2)

        outcomes = ranks.outcomes(work)
        assert outcomes[1] is outcomes[3] is None
        for rank in (0, 2):
            error = outcomes[rank]
            assert isinstance(error, TimedOutError), error
            assert error.missing == (1, 3)
            assert "{1, 3}" in str(error)
            assert "[allreduce] 'fc1'" in str(error)
            assert f"on rank {rank} of 4" in str(error)
            assert isinstance(error, TimeoutError)


@both
def test_after_a_time_out_later_calls_fail_with_the_first_error(transport):
    with world(2, transport) as ranks:
        first = ranks.ranks[0]
        with pytest.raises(TimedOutError) as caught:
            first.allreduce(np.ones(5), name="fc1", timeout_s=0.1)
        with pytest.raises(TimedOutError) as again:
            first.allreduce(np.ones(5), name="fc2")
        assert str(again.value) == str(caught.value)
        with pytest.raises(TimedOutError) as again:
            finish(first.submit(Collective.ALLREDUCE, np.ones(5), name="fc2"))
        assert str(again.value) == str(caught.value)


@both
def test_a_time_out_fails_everything_in_flight_on_that_rank(transport):
    with world(2, transport) as ranks:
        arrays = [np.ones(3) for _ in range(5)]
        handles = [
            ranks.ranks[0].submit(Collective.ALLREDUCE, array, name=f"t{i}", timeout_s=0.2)
            for i, array in enumerate(arrays)
        ]
        for handle in handles:
            with pytest.raises(TimedOutError, match="'t0'"):
                finish(handle)


@both
def test_whoever_comes_too_late_is_told_who_gave_up(transport):
    with world(2, transport) as ranks:
        with pytest.raises(TimedOutError):
            ranks.ranks[0].allreduce(np.ones(5), timeout_s=0.1)
        late = ranks.ranks[1]
        # The first may come through: rank 0 had announced it. Not so the second.
        handles = [late.submit(Collective.ALLREDUCE, array) for array in np.ones((2, 5))]
        handles[0].wait(DEADLINE_S)
        with pytest.raises(PeerLostError) as caught:
            finish(handles[1])
        assert caught.value.rank == 0
        assert "gave up waiting for ranks {1}" in caught.value.cause


def test_the_time_of_an_operation_counts_from_its_call_also_behind_another():
    with world(2) as ranks:
        arrays = [np.ones(3), np.ones(3)]
        first = ranks.ranks[0].submit(
            Collective.ALLREDUCE, arrays[0], name="a", timeout_s=float("inf")
        )
        second = ranks.ranks[0].submit(Collective.ALLREDUCE, arrays[1], name="b", timeout_s=0.2)
        with pytest.raises(TimedOutError, match="'b': not complete after"):
            finish(second)
        del first


@pytest.mark.parametrize("timeout_s", [float("inf"), 1e10, 1e300])
def test_a_very_long_time_is_not_over_at_once(timeout_s):
    with world(2) as ranks:
        array = np.ones(3)
        handle = ranks.ranks[0].submit(Collective.ALLREDUCE, array, timeout_s=timeout_s)
        ranks.ranks[1].allreduce(np.ones(3), timeout_s=timeout_s)
        finish(handle)
        assert array[0] == 2.0


@both
@either
@pytest.mark.parametrize("n", [2, 5])
def test_a_rank_that_shuts_down_is_named_with_its_cause_on_all_others(transport, algorithm, n):
    with world(n, transport, algorithm) as ranks:

        def work(rank):
            rank.barrier()
            if rank.rank == n - 1:
                rank.engine.shutdown("it had enough")
            else:
                rank.allreduce(np.ones(1000), name="fc1")

        for error in ranks.outcomes(work)[:-1]:
            assert isinstance(error, PeerLostError), error
            assert error.rank == n - 1, str(error)
            assert error.cause == "it had enough"
            assert error.tensor == "fc1"
            assert "[allreduce] 'fc1'" in str(error)
            assert f"lost rank {n - 1}" in str(error)


@both
def test_a_waiting_call_ends_when_the_awaited_rank_leaves(transport):
    with world(2, transport) as ranks:
        first, second = ranks.ranks
        array = np.ones(3)
        handle = first.submit(Collective.ALLREDUCE, array)
        second.engine.shutdown("gone")
        with pytest.raises(PeerLostError, match="gone"):
            finish(handle)


@both
@pytest.mark.parametrize("memory", ["private", "registered"])
def test_what_all_had_joined_completes_although_one_leaves_at_once(transport, memory):
    # A rank may end as soon as its own part is done; that must not fail the others' last operation.
    for _ in range(30):
        with world(3, transport) as ranks:

            def work(rank):
                array = np.full(5000, 1.0)
                array = rank.registered(array) if memory == "registered" else array
                rank.allreduce(array)
                rank.engine.shutdown("done")
                return float(array[-1])

            assert ranks.each(work) == [3.0, 3.0, 3.0]


@both
def test_shutdown_fails_what_is_in_flight_and_what_comes_later(transport):
    with world(2, transport) as ranks:
        first = ranks.ranks[0]
        arrays = [np.ones(3), np.ones(3)]
        handles = [first.submit(Collective.ALLREDUCE, array) for array in arrays]
        first.engine.shutdown("the user said so")
        for handle in handles:
            with pytest.raises(NotInitializedError, match=r"in flight .*the user said so"):
                finish(handle)
        for start in (first.run, first.submit):
            with pytest.raises(NotInitializedError, match="after shutdown"):
                start(Collective.BARRIER)


def test_what_is_in_flight_at_the_end_of_a_process_is_told_so():
    with world(2) as ranks:
        handle = ranks.ranks[0].submit(Collective.ALLREDUCE, np.ones(3))
        ranks.ranks[0].engine.shutdown("")  # peers see the process end
        with pytest.raises(NotInitializedError, match=r"in flight when this process ended\. Wait"):
            finish(handle)


@both
def test_shutdown_ends_a_call_of_another_thread(transport):
    with world(2, transport) as ranks:
        first = ranks.ranks[0]
        started = threading.Event()

        def work(index):
            if index == 0:
                started.set()
                return first.allreduce(np.ones(3))
            started.wait(DEADLINE_S)
            return first.engine.shutdown("the other thread said so")

        outcome = side_by_side(2, work)[0]
        assert isinstance(outcome, NotInitializedError)


def test_shutdown_twice_and_from_many_threads_is_one_shutdown():
    with world(2) as ranks:
        engine = ranks.ranks[0].engine
        assert side_by_side(8, lambda _: engine.shutdown("over")) == [None] * 8
        engine.shutdown("again")


def test_a_handle_outlives_its_engine():
    with world(2) as ranks:
        array = np.ones(3)
        handle = ranks.ranks[0].submit(Collective.ALLREDUCE, array)
    ranks.ranks.clear()
    with pytest.raises(NotInitializedError):
        finish(handle)


def test_the_loss_of_a_rank_spares_operations_that_do_not_need_it():
    # Rank 2 is done with its part of the broadcast before it leaves.
    with world(3) as ranks:

        def work(rank):
            found = rank.broadcast(np.full(4, rank.rank), root=2)
            if rank.rank == 2:
                rank.engine.shutdown("done")
            return int(found[0])

        assert ranks.each(work) == [2, 2, 2]


@pytest.mark.parametrize(
    "cause", ["x" * 5000, "é" * 1000, "a" + "重" * 500], ids=["long", "of two bytes", "of three"]
)
def test_any_cause_can_be_told(cause):
    with world(2) as ranks:
        ranks.ranks[1].engine.shutdown(cause)
        with pytest.raises(PeerLostError) as caught:
            ranks.ranks[0].barrier()
        assert caught.value.cause
        assert cause.startswith(caught.value.cause.rstrip("\ufffd"))


def test_who_dies_while_ranks_look_for_an_order_is_named_though_nobody_lacks_a_call_of_its():
    with world(3) as ranks:

        def submit(number, name):
            return ranks.ranks[number].submit(Collective.ALLREDUCE, np.ones(4), name=name)

        handles = [submit(0, name) for name in "YXZ"]
        handles += [submit(1, "X"), submit(2, "Z")]
        ranks.ranks[0].engine.shutdown("boom")
        handles += [submit(1, "Y"), submit(2, "Y")]
        for handle in handles[3:]:
            with pytest.raises(PeerLostError, match=r"lost rank 0 .*boom"):
                finish(handle)


def test_the_death_of_a_rank_that_has_joined_is_seen_while_others_look_for_an_order():
    with world(3) as ranks:
        joined = ranks.ranks[0].submit(Collective.JOIN, np.zeros(1, np.int64))
        handles = [
            ranks.ranks[number].submit(Collective.ALLREDUCE, np.ones(4), name=name)
            for number, name in ((1, "A"), (2, "B"))
        ]
        ranks.ranks[0].engine.shutdown("boom")
        for handle in handles:
            with pytest.raises(PeerLostError, match=r"lost rank 0 .*boom"):
                finish(handle)
        del joined
