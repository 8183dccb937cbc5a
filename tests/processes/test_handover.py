"""Registered memory goes from rank to rank, with no other one needed for it."""

import signal

from .job import require_ended


def test_ranks_that_outlive_rank_0_share_new_memory_in_their_group(jobs):
    job = jobs.start(
        3,
        """
        rs.init()
        group = rs.new_group([1, 2])
        if RANK == 0:
            tell("leaving")
            sys.exit()
        await_word("rank 0 has ended")
        array = rs.empty(3_000_000)
        array[...] = RANK
        rs.allreduce_(array, op=rs.Sum, group=group)
        print(set(array.tolist()))
        """,
    )
    job.word("leaving")
    job.started[0].wait(20)
    job.tell("rank 0 has ended")
    ended = job.end()
    require_ended(ended)
    assert [one.said for one in ended] == [[], ["{3.0}"], ["{3.0}"]]
    assert jobs.remains() == []


def test_a_rank_outside_the_group_that_is_stopped_delays_nobodys_memory(jobs):
    job = jobs.start(
        3,
        """
        rs.init()
        group = rs.new_group([1, 2])
        tell(f"ready{RANK}")
        await_word("stopped")
        if RANK > 0:
            arrays = [rs.empty(400_000) for _ in range(50)]
            for array in arrays:
                rs.allreduce_(array, group=group)
            tell(f"done{RANK}")  # not before that does rank 0 go on
        rs.barrier()
        """,
    )
    for rank in range(3):
        job.word(f"ready{rank}")
    job.kill(0, signal.SIGSTOP)
    job.tell("stopped")
    for rank in (1, 2):
        job.word(f"done{rank}")
    job.kill(0, signal.SIGCONT)
    ended = job.end()
    require_ended(ended)


def test_a_rank_that_computes_takes_in_what_peers_share_and_keeps_no_descriptor(jobs):
    ended = jobs.run(
        2,
        """
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
        rs.init()
        if RANK == 0:
            arrays = [rs.empty(300_000) for _ in range(500)]  # a slab each
            tell("shared")
        await_word("shared")
        before = len(os.listdir("/proc/self/fd"))
        array = rs.empty(300_000) if RANK else arrays[-1]
        array[...] = RANK
        rs.allreduce_(array, op=rs.Sum)
        print(array[-1], len(os.listdir("/proc/self/fd")) - before)
        """,
    )
    require_ended(ended)
    assert [one.said for one in ended] == [["1.0 0"]] * 2


def test_a_rank_without_room_for_a_descriptor_says_so_and_nobody_hangs(jobs):
    ended = jobs.run(
        2,
        """
        import resource
        rs.init()
        if RANK == 1:
            array = rs.empty(300_000)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, 100))  # 0, 1 and 2 are taken
        rs.barrier()
        if RANK == 0:
            array = rs.empty(300_000)
        try:
            rs.allreduce_(array, op=rs.Sum)
        except errors.RingsyncError as error:
            print(type(error).__name__, error)
        """,
    )
    assert [one.code for one in ended] == [0, 0], ended
    assert "RingsyncError [shm] 'memory/0/1' of rank 0 could not be mapped. Raise the limit" in (
        ended[1].out
    )
    assert ended[0].out.startswith("PeerLostError [allreduce] ")
    assert "could not be mapped" in ended[0].out
