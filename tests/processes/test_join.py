"""Processes whose work is used up early: the others go on, and a death is told to all."""

import signal

UNEVEN = """
rs.init()
shared = rs.empty(400_000, np.float32)
private = np.empty(400_000, np.float32)  # large enough to be reached in place
small = np.empty(10, np.float32)
for again in range(2):
    for turn in range(2 * RANK):
        present = [rank for rank in range(rs.size()) if turn < 2 * rank]
        for array in (shared, private, small):
            array[:] = RANK + 1
            rs.allreduce_(array, op=rs.Sum)
            assert (array == sum(rank + 1 for rank in present)).all(), (turn, array)
        means = rs.grouped_allreduce([shared, small], name="group")
        expected = sum(rank + 1 for rank in present) * len(present) / rs.size()
        for mean in means:
            np.testing.assert_allclose(mean, expected, rtol=1e-6)
        rs.barrier()
    print(rs.join())
print(rs.allreduce(np.ones(1), op=rs.Sum)[0])
"""


def test_processes_join_when_their_work_is_used_up(jobs):
    for ended in jobs.start(3, UNEVEN).end():
        assert ended.code == 0, ended.err
        assert ended.said == ["2", "2", "3.0"]


def test_a_rank_that_dies_ends_the_join_of_the_others(jobs):
    script = """
rs.init()
if RANK < 2:
    tell(f"joins{RANK}")
    try:
        rs.join()
    except errors.PeerLostError as error:
        print(error.rank, error.tensor)
        sys.exit(0)
rs.allreduce(np.ones(3), name="more")
tell("through")
await_word("never", 60)
"""
    job = jobs.start(3, script)
    job.word("through")
    job.kill(2, signal.SIGKILL)
    for ended in job.end()[:2]:
        assert ended.code == 0, ended.err
        assert ended.said == ["2 join"]
