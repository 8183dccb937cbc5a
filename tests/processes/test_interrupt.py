"""Ctrl-C ends every wait for other ranks, and memory in flight stays whole afterwards."""

import re
import signal
from pathlib import Path

import pytest

from ..ranks import until


def wait_until_asleep(pid):
    """Until the main thread sleeps in a poll or on a futex, as a blocked call does."""
    place = Path(f"/proc/{pid}/task/{pid}/wchan")
    until(lambda: re.search("poll|futex", place.read_text()))


WAITS = {
    "allreduce": "rs.allreduce(np.ones(10))",
    "in place": "rs.allreduce_(rs.empty(10))",
    "barrier": "rs.barrier()",
    "handle": "rs.allreduce_async(np.ones(10)).wait()",
    "handle with a limit": "rs.allreduce_async(np.ones(10)).wait(60)",
    "object": "rs.broadcast_object(1, 1)",
    "behind another": "rs.allreduce_async(np.ones(10)); rs.allgather(np.ones(3))",
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_a_wait_for_a_peer_ends_with_ctrl_c(jobs, wait):
    job = jobs.start(
        2,
        f"""
        rs.init()
        rs.barrier()
        if RANK == 1:
            await_word("over")
            sys.exit(0)
        tell("waiting")
        try:
            {wait}
        except KeyboardInterrupt:
            print("interrupted")
            tell("over")  # not before that does its peer go on
        """,
    )
    job.word("waiting")
    wait_until_asleep(job.started[0].pid)
    job.kill(0, signal.SIGINT)
    ended = job.end()
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    assert ended[0].said == ["interrupted"]
    assert jobs.remains() == []


@pytest.mark.parametrize("rank", [0, 1])
def test_waiting_for_ranks_in_init_ends_with_ctrl_c_and_leaves_nothing(jobs, rank):
    job = jobs.start(
        2,
        """
        tell("waiting")
        try:
            rs.init()
        except KeyboardInterrupt:
            assert not rs.is_initialized()
            print("interrupted")
        """,
        start=0,
    )
    jobs.add(job, rank)
    job.word("waiting")
    wait_until_asleep(job.started[0].pid)
    job.kill(0, signal.SIGINT)
    [one] = job.end(10.0)
    assert (one.code, one.out) == (0, "interrupted\n"), one.err
    assert jobs.remains() == []


def test_an_interrupted_operation_goes_on_and_its_memory_lives_until_it_is_done(jobs):
    # The array is large enough to be unmapped when it is freed, so that touching it is a crash.
    job = jobs.start(
        2,
        """
        import gc
        rs.init()
        if RANK == 1:
            await_word("interrupted")
        else:
            tell("waiting")
        for turn in range(5):
            try:
                found = rs.allreduce(np.full(4_000_000, RANK + 1.0), op=rs.Sum, name=f"t{turn}")
                assert found[-1] == 3.0
            except KeyboardInterrupt:
                assert turn == 0
                gc.collect()
                tell("interrupted")
        rs.barrier()
        print("whole")
        """,
    )
    job.word("waiting")
    wait_until_asleep(job.started[0].pid)
    job.kill(0, signal.SIGINT)
    ended = job.end()
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    assert [one.out for one in ended] == ["whole\n"] * 2


def test_another_signal_does_not_end_a_wait(jobs):
    job = jobs.start(
        2,
        """
        seen = []
        def see(*_):
            seen.append(1)
            tell(f"seen{len(seen)}")
        signal.signal(signal.SIGUSR1, see)
        rs.init()
        rs.barrier()
        if RANK == 1:
            await_word("signalled")
        else:
            tell("waiting")
        assert rs.allreduce(np.ones(1000), op=rs.Sum)[0] == 2.0
        assert len(seen) == (5 if RANK == 0 else 0), seen
        """,
    )
    job.word("waiting")
    for count in range(5):
        wait_until_asleep(job.started[0].pid)
        job.kill(0, signal.SIGUSR1)
        job.word(f"seen{count + 1}")  # two that are pending at once would be one
        wait_until_asleep(job.started[0].pid)
        assert job.started[0].poll() is None, count
    job.tell("signalled")
    ended = job.end()
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]


def test_ctrl_c_just_before_a_call_falls_asleep_is_not_lost(jobs):
    # The signal comes within the first tenths of a millisecond of a call that waits for its peer;
    # should it be lost, the peer's end releases the call after some seconds.
    ended = jobs.run(
        1,
        """
        import random, threading
        from ringsync import _native
        def make_pair():
            store, pair = _native.memory_store(), [None, None]
            def make(rank):
                pair[rank] = _native.Engine(store, rank, 2, "inproc")
            makers = [threading.Thread(target=make, args=(rank,)) for rank in (0, 1)]
            [maker.start() for maker in makers], [maker.join() for maker in makers]
            return pair
        struck = lost = 0
        for turn in range(12):
            first, second = make_pair()
            woken = threading.Event()
            def strike(delay_s=random.random() * 3e-4):
                global lost
                time.sleep(delay_s)  # so as to strike at any point of the call
                os.kill(os.getpid(), signal.SIGINT)
                if not woken.wait(5.0):
                    lost += 1
                second.shutdown("over")
            striker = threading.Thread(target=strike)
            try:
                striker.start()
                first.run(0, np.ones(3), "test", "x", 20.0, _native.Terms())
            except KeyboardInterrupt:
                woken.set()
                struck += 1
            striker.join()
        print(struck, lost)
        """,
    )
    assert ended[0].code == 0, ended[0].err
    assert ended[0].out == "12 0\n"
