"""Groups wait for nobody but their own ranks, though one thread serves all of them."""

import threading

import numpy as np
import pytest

from ..ranks import TRANSPORTS, Collective, finish, world
from .test_process_groups import all_in_group

both = pytest.mark.parametrize("transport", TRANSPORTS)


@both
@pytest.mark.parametrize("count", [3, 300_000], ids=["carried", "alone"])
def test_one_group_waits_for_a_rank_while_another_of_the_same_ranks_goes_on(transport, count):
    with world(2, transport) as ranks:
        first, second = ranks.ranks
        a, b = ranks.group(0, 1), ranks.group(0, 1)
        late = np.ones(count)
        waiting = first.submit(Collective.ALLREDUCE, late, group=a.number[0])

        def work(rank, number):
            for turn in range(50):
                array = np.full(count, float(turn))
                assert rank.allreduce(array, group=number)[-1] == 2 * turn
            return rank.submit(Collective.ALLREDUCE, np.ones(count), group=number)

        for handle in all_in_group(ranks, b, work).values():
            finish(handle)
        ranks.require_usable()
        assert not waiting.done()
        assert second.allreduce(np.full(count, 4.0), group=a.number[1])[0] == 5
        finish(waiting)
        assert late[0] == 5


@both
def test_a_blocking_call_of_one_group_holds_up_no_call_of_another(transport):
    with world(2, transport) as ranks:
        first, second = ranks.ranks
        a, b = ranks.group(0, 1), ranks.group(0, 1)
        ended = []

        def wait():
            ended.append(first.allreduce(np.ones(3), group=a.number[0])[0])

        thread = threading.Thread(target=wait)
        thread.start()

        def work(rank, number):
            return [rank.allreduce(np.ones(3), group=number)[0] for _ in range(100)]

        assert all_in_group(ranks, b, work) == {0: [2.0] * 100, 1: [2.0] * 100}
        assert not ended
        second.allreduce(np.ones(3), group=a.number[1])
        thread.join()
        assert ended == [2.0]


@both
def test_groups_of_other_ranks_neither_wait_for_one_another_nor_for_the_world(transport):
    with world(5, transport) as ranks:
        left, right, third = ranks.group(0, 1), ranks.group(2, 3), ranks.group(1, 2, 4)
        alone = [np.ones(3), np.ones(3)]
        waiting = [
            ranks.ranks[0].submit(Collective.ALLREDUCE, alone[0]),
            ranks.ranks[4].submit(Collective.ALLREDUCE, alone[1], group=third.number[4]),
        ]

        def work(rank, number):
            return float(rank.allreduce(np.full(30_000, rank.rank + 1.0), group=number)[7])

        assert all_in_group(ranks, left, work) == {0: 3.0, 1: 3.0}
        assert all_in_group(ranks, right, work) == {2: 7.0, 3: 7.0}
        assert not any(handle.done() for handle in waiting)
        for member in (1, 2):
            array = np.ones(3)
            waiting.append(
                ranks.ranks[member].submit(Collective.ALLREDUCE, array, group=third.number[member])
            )
            alone.append(array)
        finish(waiting[1])
        assert not waiting[0].done()
        waiting += [rank.submit(Collective.ALLREDUCE, np.ones(3)) for rank in ranks.ranks[1:]]
        for handle in waiting:
            finish(handle)
