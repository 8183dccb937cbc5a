"""Operations of a rank run in the order of submission, whoever submits them and how."""

import itertools
import threading
import weakref

import numpy as np
import pytest

from ringsync.errors import ConfigError, DuplicateNameError, TimedOutError

from ..ranks import (  # fmt: skip
    ALGORITHMS,
    DEADLINE_S,
    TRANSPORTS,
    Collective,
    Op,
    finish,
    side_by_side,
    values_of,
    world,
)

both = pytest.mark.parametrize("transport", TRANSPORTS)


@both
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_many_operations_in_flight_complete_in_order_with_right_values(
    worlds, transport, algorithm, n
):
    def work(rank):
        arrays = [np.full(1 + 37 * i, rank.rank + i, np.int64) for i in range(200)]
        handles = [rank.submit(Collective.ALLREDUCE, array) for array in arrays]
        for handle in handles:
            finish(handle)
        done = [handle.times()[3] for handle in handles]
        assert done == sorted(done)
        return [int(array[-1]) for array in arrays]

    ranks_sum = n * (n - 1) // 2
    for found in worlds.of(n, transport, algorithm).each(work):
        assert found == [ranks_sum + n * i for i in range(200)]


# A send is between two ranks, in an order of its own.
OF_THE_WORLD = [kind for kind in Collective if kind not in {Collective.SEND, Collective.JOIN}]
WITH_RESULT = (Collective.ALLGATHER, Collective.REDUCE_SCATTER, Collective.ALLTOALL)


@both
def test_collectives_of_all_kinds_follow_one_another_in_flight(worlds, transport):
    def work(rank):
        handles, arrays = [], []
        for turn in range(60):
            kind = OF_THE_WORLD[turn % len(OF_THE_WORLD)]
            array = None if kind is Collective.BARRIER else np.full(500, rank.rank + turn, np.int32)
            arrays.append(array)
            splits = (100, 150, 250) if kind is Collective.ALLTOALL else ()
            handles.append(rank.submit(kind, array, root=turn % 3, splits=splits))
        found = []
        kinds = itertools.cycle(OF_THE_WORLD)
        for kind, handle, array in zip(kinds, handles, arrays, strict=False):
            finish(handle)
            if kind in WITH_RESULT:
                found.append(int(handle.result()[-1]))
            elif array is not None:
                found.append(int(array[7]))
        return found

    expected = []
    for turn in range(60):
        total, gathered, sent = 3 + 3 * turn, 2 + turn, turn % 3 + turn
        expected += {
            Collective.ALLREDUCE: [total],
            Collective.ALLGATHER: [gathered],
            Collective.BROADCAST: [sent],
            Collective.BARRIER: [],
            Collective.REDUCE_SCATTER: [total],
            Collective.ALLTOALL: [gathered],
        }[OF_THE_WORLD[turn % len(OF_THE_WORLD)]]
    assert worlds.of(3, transport).each(work) == [expected] * 3


@both
def test_calls_and_submits_from_several_threads_of_a_rank_all_complete(transport):
    # Threads pair in any order, so every operation is alike; what is proved is that none is lost,
    # whoever happens to do the engine's work.
    def work(rank):
        def thread(index):
            for turn in range(60):
                array = np.full(100, rank.rank + 1, np.int64)
                if (turn + index) % 2:
                    rank.allreduce(array)
                else:
                    finish(rank.submit(Collective.ALLREDUCE, array))
                assert set(array.tolist()) == {6}

        values_of(side_by_side(4, thread))

    with world(3, transport) as ranks:
        ranks.each(work)
        ranks.require_usable()


@both
def test_a_blocked_call_does_not_keep_another_thread_from_submitting(transport):
    with world(2, transport) as ranks:
        first, second = ranks.ranks
        mine = [np.full(10, 1.0), np.full(10, 2.0)]
        blocked = threading.Thread(target=lambda: first.allreduce(mine[0]), daemon=True)
        blocked.start()
        later = first.submit(Collective.ALLREDUCE, mine[1])
        assert not later.done()
        theirs = [np.full(10, 10.0), np.full(10, 20.0)]
        for array in theirs:
            second.allreduce(array)
        finish(later)
        blocked.join(DEADLINE_S)
        # Which of the first rank's two was first is the threads' race; both had the same partners.
        assert sorted([mine[0][0] + mine[1][0]]) == [33.0]


def test_a_name_in_flight_cannot_be_used_again_and_can_afterwards():
    with world(2) as ranks:
        first, second = ranks.ranks
        array = np.ones(4)
        handle = first.submit(Collective.ALLREDUCE, array, name="fc1")
        for start in (first.submit, first.run):
            with pytest.raises(DuplicateNameError, match=r"'fc1' is still in flight on rank 0"):
                start(Collective.ALLREDUCE, np.ones(4), name="fc1")
        finish(second.submit(Collective.ALLREDUCE, np.ones(4), name="fc1"))
        finish(handle)
        ranks.each(lambda rank: rank.allreduce(np.ones(4), name="fc1"))


def test_a_refused_call_does_not_shift_the_pairing_of_those_that_follow():
    def work(rank):
        if rank.rank == 1:
            with pytest.raises(ConfigError):
                rank.allreduce(np.ones(3, np.bool_))
        return float(rank.allreduce(np.ones(4))[0])

    with world(2) as ranks:
        assert ranks.each(work) == [2.0, 2.0]


@both
def test_eight_engines_work_in_one_process_at_once(worlds, transport):
    def work(rank):
        results = [rank.allreduce(np.full(1000, rank.rank + 1.0)) for _ in range(50)]
        return {float(result[-1]) for result in results}

    assert worlds.of(8, transport).each(work) == [{36.0}] * 8


@both
def test_two_worlds_of_one_process_do_not_hear_each_other(transport):
    with world(2, transport) as ones, world(3, transport) as twos:

        def work(index):
            here, rank = (ones, index) if index < 2 else (twos, index - 2)
            found = []
            for turn in range(40):
                array = np.full(300, (1.0 if here is ones else 100.0) + turn)
                found.append(float(here.ranks[rank].allreduce(array, op=Op.SUM)[0]))
            return found

        outcomes = values_of(side_by_side(5, work))
        assert outcomes[:2] == [[2 * (1.0 + turn) for turn in range(40)]] * 2
        assert outcomes[2:] == [[3 * (100.0 + turn) for turn in range(40)]] * 3


@both
def test_a_request_that_has_less_time_than_those_in_flight_is_up_in_its_own_time(transport):
    with world(2, transport) as ranks:
        lonely = ranks.ranks[0]
        first = lonely.submit(Collective.ALLREDUCE, np.ones(3), timeout_s=DEADLINE_S)
        hasty = lonely.submit(Collective.ALLREDUCE, np.ones(3), timeout_s=0.05)
        for handle in (hasty, first):
            with pytest.raises(TimedOutError, match=r"unnamed 1': not complete after"):
                finish(handle)


def test_an_operation_that_is_not_done_for_long_keeps_no_other_s_array():
    with world(2) as ranks:
        first, second = ranks.ranks
        late = first.submit_recv(np.zeros(3), 1)
        kept = []

        def work(rank):
            for _ in range(200):
                array = np.ones(1000)
                if rank is first:
                    kept.append(weakref.ref(array))
                finish(rank.submit(Collective.ALLREDUCE, array))

        ranks.each(work)
        assert sum(one() is not None for one in kept) < 40
        second.send(np.ones(3), 0)
        finish(late)


@pytest.mark.parametrize(
    "wrong", [{"peer": 0}, {"peer": 99}, {"root": 2}, {"root": -1}, {"op": 2}, {"op": 77}], ids=str
)
def test_numbers_that_make_no_request_are_refused(worlds, wrong):
    with pytest.raises(ConfigError, match=r"make no request of 2 ranks. Correct the caller"):
        worlds.of(2, "inproc").ranks[0].submit(Collective.ALLREDUCE, np.ones(3), **wrong)
