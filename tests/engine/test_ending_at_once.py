"""What fails with a lost rank fails at one moment: whoever sees one call's end sees that of all."""

import functools

import numpy as np
import pytest

from ringsync.errors import MismatchError, PeerLostError

from ..ranks import TRANSPORTS, Collective, finish, side_by_side, until, values_of, world

both = pytest.mark.parametrize("transport", TRANSPORTS)

MANY = 2000  # to be failed one after another takes about a millisecond


def pending_once_done(watched, handles, lose):
    """How many are not done as soon as `watched` is, which fails because of `lose()`."""

    def look(_):
        until(watched.done)
        # Backwards: from where an engine that takes one after another would come to at last.
        return sum(not handle.done() for handle in handles[::-1])

    pending, _ = values_of(side_by_side(2, lambda i: (look, lambda _: lose())[i](i)))
    return pending


@both
@pytest.mark.parametrize("index", [0, MANY // 2, -1], ids=["first", "middle", "last"])
def test_whichever_call_is_watched_none_is_pending_once_it_has_failed(transport, index):
    with world(2, transport) as ranks:
        first, second = ranks.ranks
        arrays = np.ones((MANY, 3))
        handles = [first.submit(Collective.ALLREDUCE, array) for array in arrays]
        lose = functools.partial(second.engine.shutdown, "it had enough")
        assert pending_once_done(handles[index], handles, lose) == 0
        for handle in handles[:3]:
            with pytest.raises(PeerLostError):
                finish(handle)


@both
@pytest.mark.parametrize("watched", ["world", "pair", "first group", "last group"])
def test_the_calls_of_all_groups_fail_at_one_moment(transport, watched):
    with world(3, transport) as ranks:
        first, second, third = ranks.ranks
        groups = [ranks.group(0, 1), ranks.group(0, 1, 2)]
        handles = {
            "world": first.submit(Collective.ALLREDUCE, np.ones(3)),
            "pair": first.submit_recv(np.ones(3), source=1),
            "first group": first.submit(
                Collective.ALLREDUCE, np.ones(3), group=groups[0].number[0]
            ),
        }
        arrays = np.ones((MANY, 3))
        many = [
            first.submit(Collective.ALLREDUCE, array, group=groups[1].number[0]) for array in arrays
        ]
        handles["last group"] = many[0]
        lose = functools.partial(third.engine.shutdown, "it had enough")
        assert pending_once_done(handles[watched], [*handles.values(), *many], lose) == 0
        second.engine.shutdown("the test is over")


@both
def test_the_calls_of_a_group_that_was_closed_fail_at_one_moment_and_no_others(transport):
    with world(2, transport) as ranks:
        first, second = ranks.ranks
        closed = ranks.group(0, 1)
        arrays = np.ones((MANY, 3))
        handles = [
            first.submit(Collective.ALLREDUCE, array, group=closed.number[0]) for array in arrays
        ]
        of_world = first.submit(Collective.ALLREDUCE, np.ones(3))
        assert pending_once_done(handles[0], handles, functools.partial(closed.close, 1)) == 0
        late = first.submit(Collective.ALLREDUCE, arrays[0], group=closed.number[0])
        assert late.done()
        for handle in (handles[0], late):
            with pytest.raises(MismatchError, match="has closed"):
                finish(handle)
        assert not of_world.done()
        second.allreduce(np.ones(3))
        finish(of_world)


@both
def test_what_is_submitted_while_a_rank_is_lost_is_not_left_behind(transport):
    with world(2, transport) as ranks:
        first, second = ranks.ranks
        arrays = np.ones((50 * MANY, 1))

        def work(i):
            if i == 1:
                return second.engine.shutdown("it had enough")
            handles = [first.submit(Collective.ALLREDUCE, arrays[0])]
            for array in arrays[1:]:
                handles.append(first.submit(Collective.ALLREDUCE, array))
                if handles[0].done():
                    break
            return [handle.done() for handle in handles[::-1]]

        done, _ = side_by_side(2, work)
        assert all(done)


@both
def test_what_is_submitted_after_a_loss_has_failed_when_the_call_returns(transport):
    with world(2, transport) as ranks:
        first, second = ranks.ranks
        second.engine.shutdown("it had enough")
        with pytest.raises(PeerLostError) as caught:
            first.allreduce(np.ones(3))
        late = first.submit(Collective.ALLREDUCE, np.ones(3), name="late")
        assert late.done()
        many = first.submit_all([np.ones(3), np.ones(3)])
        assert many.done()
        for handle in (late, many):
            with pytest.raises(PeerLostError) as again:
                finish(handle)
            assert str(again.value) == str(caught.value)
