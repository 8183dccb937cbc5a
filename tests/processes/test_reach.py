"""Ranks that write into each other's private memory: never once its owner has given up."""

import signal

import pytest

# Rank 0 gives up on rank 1, which the test stops somewhere in a stream of allreduces of private
# memory, and takes its array back.
GIVING_UP = """
rs.init()
array = np.ones(4_000_000, np.int64)
try:
    for turn in range(1_000_000):
        array.fill(1)
        rs.allreduce_(array, op=rs.Average)
        if turn == 5:
            tell(f"streaming{RANK}")
except errors.TimedOutError as error:
    array.fill(-7)
    print(RANK, "gave up")
    tell("back")
    await_word("over")
    print(set(array.tolist()))
except errors.PeerLostError as error:
    print(RANK, "lost", error.rank)
    tell("over")
"""


# Where in its work the other is stopped is left to chance: mostly while it divides integers, which
# takes longer than all else, and so right before it writes.
@pytest.mark.parametrize("timeout_s", ["0.3", "0.4", "0.5", "0.6"])
def test_a_rank_that_gives_up_finds_its_array_as_it_left_it(jobs, timeout_s):
    job = jobs.start(2, GIVING_UP, RINGSYNC_TIMEOUT_S=timeout_s)
    for rank in range(2):
        job.word(f"streaming{rank}")
    job.kill(1, signal.SIGSTOP)
    job.word("back")
    job.kill(1, signal.SIGCONT)
    ended = job.end()
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    assert ended[0].said == ["0 gave up", "{-7}"]
    assert ended[1].said == ["1 lost 0"]
    assert jobs.remains() == []


def test_a_rank_that_shuts_down_amid_an_operation_is_written_by_nobody(jobs):
    ended = jobs.run(
        2,
        """
        rs.init()
        array = np.ones(40_000_000, np.float32)
        if RANK == 0:
            handle = rs.allreduce_async_(array)
            rs.shutdown()
            array.fill(-7)
            tell("taken back")
            try:
                handle.wait()
            except errors.NotInitializedError:
                print("ended")
            await_word("lost")
            print(set(array.tolist()))
        else:
            try:
                rs.allreduce_(array)
            except errors.PeerLostError as error:
                print("lost", error.rank)
            tell("lost")
        """,
    )
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    assert ended[0].said == ["ended", "{-7.0}"]
    assert ended[1].said == ["lost 0"]
