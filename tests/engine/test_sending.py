"""What two ranks send each other: theirs alone, in their own order, beside what the world does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync.errors import (
    ConfigError,
    DuplicateNameError,
    MismatchError,
    NotInitializedError,
    PeerLostError,
    TimedOutError,
)

from ..ranks import TRANSPORTS, Collective, finish, world
from ..transport.test_values import MEMORY, contribution, placed

KIB = 1024
both = pytest.mark.parametrize("transport", TRANSPORTS)

# Below, at and above what an announcement carries, more than a pair's queues hold, and more than
# that by far: there memory is read where it lies.
LENGTHS_BYTES = st.sampled_from(
    [0, 8, 56, KIB, 64 * KIB - 8, 64 * KIB, 64 * KIB + 8, 200 * KIB, 3 * KIB * KIB, 17 * KIB * KIB]
)


@both
@given(
    n=st.integers(2, 5), lengths=st.lists(LENGTHS_BYTES, min_size=1, max_size=3),
    dtype=st.sampled_from(["float64", "int64", "int16", "uint8", "bool"]),
    memory=st.sampled_from(MEMORY), data=st.data(),
)  # fmt: skip
def test_the_receiver_gets_what_the_sender_has_and_nobody_else_takes_part(
    worlds, transport, n, lengths, dtype, memory, data
):
    source, to = data.draw(st.permutations(range(n)))[:2]
    counts = [length // np.dtype(dtype).itemsize for length in lengths]

    def work(rank):
        if rank.rank not in {source, to}:
            return []
        arrays = [
            placed(rank, contribution(rank.rank, count, np.dtype(dtype)), memory)
            for count in counts
        ]
        move = rank.submit_send if rank.rank == source else rank.submit_recv
        handles = [move(array, to if rank.rank == source else source) for array in arrays]
        for handle in handles:
            finish(handle)
        return arrays

    results = worlds.of(n, transport).each(work)
    for end in (source, to):
        for count, array in zip(counts, results[end], strict=True):
            np.testing.assert_array_equal(array, contribution(source, count, np.dtype(dtype)))


@both
@pytest.mark.parametrize("n", [3, 5])
def test_all_may_send_in_a_circle_while_the_world_reduces(transport, n):
    def work(rank):
        before, after = (rank.rank - 1) % n, (rank.rank + 1) % n
        kept = []
        for turn in range(20):
            mine, theirs = np.full(3000 * turn, rank.rank), np.empty(3000 * turn, int)
            kept += [rank.submit_send(mine, after), rank.submit_recv(theirs, before)]
            kept.append(rank.submit(Collective.ALLREDUCE, np.ones(turn)))
            for handle in kept[-3:]:
                finish(handle)
            assert (theirs == before).all()
        return float(rank.allreduce(np.ones(1))[0])

    with world(n, transport) as ranks:
        assert ranks.each(work) == [n] * n


@both
def test_two_ranks_answer_each_other(transport):
    def work(rank):
        ball = np.zeros(4)
        for _ in range(100):
            if rank.rank == 0:
                rank.send(ball, 1)
                rank.recv(ball, 1)
            else:
                rank.recv(ball, 0)
                rank.send(ball + 1, 0)
        return float(ball[0])

    with world(2, transport) as ranks:
        assert ranks.each(work) == [100.0, 99.0]


@both
def test_calls_without_a_name_are_counted_between_two_ranks_alone(transport):
    # Rank 0 has sent to others, and the world has reduced, before ranks 1 and 2 meet first.
    def work(rank):
        for _ in range(3):
            rank.barrier()
        if rank.rank == 0:
            rank.send(np.ones(2), 1)
        if rank.rank == 1:
            rank.recv(np.zeros(2), 0)
            rank.send(np.full(2, 5.0), 2)
        return rank.recv(np.zeros(2), 1).tolist() if rank.rank == 2 else None

    with world(3, transport) as ranks:
        assert ranks.each(work) == [None, None, [5.0, 5.0]]


@both
def test_neither_the_world_nor_another_pair_holds_up_what_two_ranks_send(transport):
    with world(3, transport) as ranks:
        first, second, third = ranks.ranks
        sums = [np.ones(5), np.ones(5), np.ones(5)]
        waiting = [first.submit(Collective.ALLREDUCE, sums[0])]
        lonely = first.submit_send(np.full(3, 7.0), 2)
        arrived = np.zeros(3)
        receiving = second.submit_recv(arrived, 0)
        finish(first.submit_send(np.full(3, 4.0), 1))
        finish(receiving)
        assert arrived[0] == 4.0
        assert not waiting[0].done()
        assert not lonely.done()
        waiting += [second.submit(Collective.ALLREDUCE, sums[1])]
        waiting += [third.submit(Collective.ALLREDUCE, sums[2])]
        for handle in waiting:
            finish(handle)
        assert not lonely.done()
        assert third.recv(np.zeros(3), 0)[0] == 7.0
        finish(lonely)


def require_told(ranks, first, second, *parts):
    """Ranks 1 and 2 of three tell one story; all three go on."""

    def work(rank):
        if rank.rank > 0:
            (first if rank.rank == 1 else second)(rank)

    outcomes = ranks.outcomes(work)
    assert outcomes[0] is None
    assert isinstance(outcomes[1], MismatchError)
    assert str(outcomes[1]) == str(outcomes[2])
    for part in parts:
        assert part in str(outcomes[1])
    ranks.require_usable()
    assert ranks.each(exchange)[2] == 1.0


def exchange(rank):
    """Rank 1 gives its number to rank 2."""
    if rank.rank == 1:
        rank.send(np.full(3, 1.0), 2)
    return float(rank.recv(np.zeros(3), 1)[0]) if rank.rank == 2 else None


@both
@pytest.mark.parametrize("count", [4, 100_000], ids=["carried", "alone"])
def test_two_ends_that_differ_are_named_with_both_ranks_of_the_world(transport, count):
    with world(3, transport) as ranks:
        zeros = np.zeros(count)
        require_told(
            ranks,
            lambda rank: rank.send(np.ones((count, 1)), 2, name="ball"),
            lambda rank: rank.recv(zeros, 1, name="ball"),
            "[send] 'ball'", f": rank 2 receives into shape ({count},), rank 1 sent ({count}, 1). ",
        )  # fmt: skip
        require_told(
            ranks,
            lambda rank: rank.send(np.ones(count, np.float32), 2),
            lambda rank: rank.recv(zeros, 1),
            ": rank 2 receives into float64, rank 1 sent float32. ",
        )  # fmt: skip
        assert not zeros.any()


def test_a_mismatch_says_who_sends_also_where_the_second_rank_does():
    with world(3) as ranks:
        require_told(
            ranks,
            lambda rank: rank.recv(np.zeros(4), 2, name="ball"),
            lambda rank: rank.send(np.ones(5), 1, name="ball"),
            "[send] 'ball': rank 2 sent shape (5,), rank 1 receives into (4,). ",
        )


@both
@pytest.mark.parametrize("count", [4, 100_000], ids=["carried", "alone"])
def test_two_ranks_give_each_other_something_at_once(transport, count):
    with world(2, transport) as ranks:

        def work(rank):
            other = 1 - rank.rank
            given, taken = np.full(count, rank.rank + 1.0), np.zeros(count)
            # Both send first, under one name, and one of them receives first what it is given.
            handles = [rank.submit_send(given, other, name="ball")]
            handles.append(rank.submit_recv(taken, other, name="ball"))
            for handle in handles:
                finish(handle)
            return float(taken[-1])

        assert ranks.each(work) == [2.0, 1.0]


@pytest.mark.parametrize(("root", "peer"), [(0, 0), (0, 3), (0, -1), (0, -7), (2, 1), (-1, 1)])
def test_what_no_two_ranks_could_send_is_refused(worlds, root, peer):
    first = worlds.of(3, "inproc").ranks[0]
    word = "recv" if root == peer else "send"
    with pytest.raises(ConfigError, match=rf"\[{word}\] rank 0 names rank"):
        first.submit(Collective.SEND, np.ones(3), root=root, peer=peer)


def test_a_rank_alone_has_nobody_to_send_to(worlds):
    with pytest.raises(ConfigError, match="another rank below 1 is expected"):
        worlds.of(1, "inproc").ranks[0].send(np.ones(3), 0)


def test_a_name_is_taken_between_two_ranks_only():
    with world(3) as ranks:
        first, second, third = ranks.ranks
        arrays = np.arange(6.0).reshape(2, 3)
        handles = [
            first.submit_send(arrays[0], 1, name="a"),
            first.submit_send(arrays[1], 2, name="a"),
        ]
        with pytest.raises(DuplicateNameError, match=r"\[send\] 'a' is still in flight on rank 0"):
            first.submit_send(np.zeros(3), 1, name="a")
        handles.append(second.submit_recv(np.zeros(3), 2, name="a"))
        with pytest.raises(DuplicateNameError, match=r"\[recv\] 'a' is still in flight on rank 1"):
            second.submit_recv(np.zeros(3), 2, name="a")
        third.send(np.zeros(3), 1, name="a")
        assert third.recv(np.zeros(3), 0, name="a").tolist() == [3, 4, 5]
        assert second.recv(np.zeros(3), 0, name="a").tolist() == [0, 1, 2]
        for handle in handles:
            finish(handle)


@both
def test_a_send_that_nobody_takes_ends_every_group_of_its_rank_with_one_error(transport):
    with world(4, transport) as ranks:
        third = ranks.ranks[2]
        waiting = [third.submit(Collective.ALLREDUCE, np.ones(3), name="sum")]
        waiting.append(third.submit_recv(np.ones(3), 0, name="other"))
        with pytest.raises(TimedOutError) as caught:
            third.send(np.ones(3), 3, name="ball", timeout_s=0.1)
        assert caught.value.missing == (3,)
        for part in ("[send] 'ball'", "on rank 2 of 4", "ranks {3}"):
            assert part in str(caught.value)
        waiting.append(third.submit_recv(np.ones(3), 1))
        waiting.append(third.submit(Collective.BARRIER))
        for handle in waiting:
            with pytest.raises(TimedOutError) as again:
                finish(handle)
            assert str(again.value) == str(caught.value)
        with pytest.raises(PeerLostError, match=r"gave up waiting for ranks \{3\}") as told:
            ranks.ranks[1].recv(np.ones(3), 2)
        assert told.value.rank == 2


@both
def test_a_recv_to_which_nobody_sends_is_called_one(transport):
    with world(2, transport, stall_warn_s=0.05) as ranks:
        told = r"^\[recv\] 'ball': not complete .* on rank 1 of 2"
        with pytest.raises(TimedOutError, match=told):
            ranks.ranks[1].recv(np.ones(3), 0, name="ball", timeout_s=0.2)


def test_a_recv_after_shutdown_is_called_one():
    with world(2) as ranks:
        second = ranks.ranks[1]
        second.engine.shutdown("the test ends it")
        for call, word in ((second.send, "send"), (second.recv, "recv")):
            with pytest.raises(NotInitializedError, match=rf"\] {word} was called after shutdown"):
                call(np.ones(3), 0)


@both
@pytest.mark.parametrize("memory", ["private", "registered"])
def test_the_loss_of_the_other_end_names_it_and_spares_who_does_not_need_it(transport, memory):
    with world(4, transport) as ranks:

        def work(rank):
            array = placed(rank, np.full(300_000, float(rank.rank)), memory)
            if rank.rank == 3:
                rank.engine.shutdown("it had enough")
            elif rank.rank == 2:
                rank.recv(array, 3, name="ball")
            elif rank.rank == 0:
                rank.send(array, 1)
            else:
                return rank.recv(array, 0)[-1]
            return None

        outcomes = ranks.outcomes(work)
        assert outcomes[:2] == [None, 0.0]
        error = outcomes[2]
        assert isinstance(error, PeerLostError)
        assert (error.rank, error.cause, error.tensor) == (3, "it had enough", "ball")
        assert "[recv] 'ball': rank 2 of 4 lost rank 3" in str(error)
