"""Ranks that die or leave: the others learn who it was, soon, and nothing is left behind."""

import json
import signal
import time

import pytest

# A stream of allreduces in the way named by HOW; what ends it is printed as one line of JSON.
STREAM = """
import json
rs.init()
how = os.environ.get("HOW", "call")
shared = rs.empty(50_000, np.float32)
private = np.zeros(50_000, np.float32)
large = np.zeros(5_000_000, np.float32)
try:
    for turn in range(1_000_000):
        if turn == 20:
            tell(f"streaming{RANK}")
        if how == "call":
            rs.allreduce(private, name=f"t{turn}")
        elif how == "registered":
            rs.allreduce_(shared, name=f"t{turn}")
        elif how == "async":
            handles = [rs.allreduce_async(private, name=f"t{turn}.{i}") for i in range(8)]
            for handle in handles:
                handle.wait()
        elif how == "reaching":
            rs.allreduce_(large, name=f"t{turn}")
        elif how == "grouped":
            rs.grouped_allreduce([private[:100], private[:9]], name=f"t{turn}")
        elif how == "broadcast":
            rs.broadcast(private, turn % rs.size(), name=f"t{turn}")
except errors.PeerLostError as error:
    now = time.monotonic()
    print(json.dumps([now, error.rank, error.pid, error.host, error.cause, error.tensor]))
    print(error, file=sys.stderr)
    try:
        rs.allreduce(private)
    except errors.PeerLostError as again:
        assert str(again) == str(error)
    else:
        sys.exit("the engine forgot its first error")
"""


def require_named(one, rank, pid, since):
    assert one.code == 0, one.err
    at, lost, lost_pid, host, cause, tensor = json.loads(one.out)
    assert at - since < 2.0
    assert lost == rank, one.err
    assert lost_pid == pid
    assert host
    assert cause
    assert tensor.startswith("t")
    assert f"lost rank {rank}" in one.err
    assert f"'{tensor}'" in one.err


@pytest.mark.alone
@pytest.mark.parametrize("how", ["call", "registered", "async", "reaching", "grouped", "broadcast"])
@pytest.mark.parametrize(("size", "victim"), [(3, 0), (4, 3)])
def test_survivors_of_a_killed_rank_name_it_within_two_seconds(jobs, size, victim, how):
    job = jobs.start(size, STREAM, HOW=how)
    pids = [job.word(f"streaming{rank}") for rank in range(size)]
    since = time.monotonic()
    job.kill(victim)
    for rank, one in enumerate(job.end()):
        if rank == victim:
            assert one.code == -signal.SIGKILL
        else:
            require_named(one, victim, pids[victim], since)
    assert jobs.remains() == []


@pytest.mark.alone
def test_a_forked_child_that_lives_on_does_not_hide_its_parent_s_death(jobs):
    script = STREAM.replace(
        'how = os.environ.get("HOW", "call")',
        """how = "call"
if RANK == 1 and os.fork() == 0:
    tell("child")
    time.sleep(60)  # it outlives the test, which ends it
    os._exit(0)""",
    )
    job = jobs.start(2, script)
    job.word("child")
    pids = [job.word(f"streaming{rank}") for rank in range(2)]
    since = time.monotonic()
    job.kill(1)
    require_named(job.end()[0], 1, pids[1], since)


@pytest.mark.parametrize(
    ("end", "code", "cause"),
    [
        ("sys.exit(3)", 3, "its process has ended with its script, without taking part"),
        ("sys.excepthook = print; raise ValueError", 1, "its process has ended"),
        ("os._exit(4)", 4, "its process has ended"),
        (
            "raise ValueError('mine')",
            1,
            "its process has ended with ValueError: mine (script.py:35)",
        ),
        ("rs.shutdown(); await_word('over'); sys.exit(5)", 5, "rank 1 has shut down"),
    ],
)
def test_a_rank_that_ends_early_is_named_with_the_cause(jobs, end, code, cause):
    job = jobs.start(
        3,
        f"""
        rs.init()
        rs.barrier()
        if RANK == 1:
            {end}
        try:
            rs.allreduce(np.ones(10), name="after")
        except errors.PeerLostError as error:
            print(error.rank, error.cause)
        tell("over" if RANK == 0 else "also over")
        """,
    )
    ended = job.end()
    assert [one.code for one in ended] == [0, code, 0], [one.err for one in ended]
    told = ended[0].out.replace(f"{job.directory}/", "")
    assert told == f"1 {cause}\n"
    assert ended[2].out == ended[0].out
    assert jobs.remains() == []


def test_a_rank_may_end_as_soon_as_its_own_last_operation_is_done(jobs):
    for how in (
        "rs.allreduce(np.ones(100_000))",
        "rs.allreduce_(rs.empty(100_000))",
        "rs.barrier()",
    ):
        ended = jobs.run(3, f"rs.init()\nfor _ in range(20): {how}\n")
        assert [one.code for one in ended] == [0] * 3, [one.err for one in ended]


def stop_last(job):
    """Stop rank 2 of 3 once all are ready, and tell the others."""
    for rank in range(3):
        job.word(f"ready{rank}")
    job.kill(2, signal.SIGSTOP)
    job.tell("stopped")


def test_a_stopped_rank_is_a_time_out_that_names_it(jobs):
    job = jobs.start(
        3,
        """
        rs.init()
        rs.barrier()
        tell(f"ready{RANK}")
        if RANK == 2:
            await_word("go on")
            sys.exit(0)
        await_word("stopped")
        try:
            rs.allreduce(np.ones(10), name="fc1", timeout_s=1.0)
        except errors.TimedOutError as error:
            print(error.missing, "'fc1'" in str(error))
        except errors.PeerLostError as error:
            print((2,), error.cause == "it gave up waiting for ranks {2}")
        """,
    )
    stop_last(job)
    for process in job.started[:2]:
        process.wait(20)
    job.tell("go on")
    job.kill(2, signal.SIGCONT)
    ended = job.end()
    assert [one.code for one in ended] == [0, 0, 0], [one.err for one in ended]
    assert [one.out for one in ended[:2]] == ["(2,) True\n"] * 2


def test_a_stopped_reader_of_what_all_read_is_the_one_that_is_missing(jobs):
    # Far more than a board holds, so that the writer waits for room.
    job = jobs.start(
        3,
        """
        from ringsync.runtime import current
        rs.init()
        current().engine.set_reach_from(2**63)
        array = np.ones(4_000_000)
        rs.barrier()
        tell(f"ready{RANK}")
        await_word("stopped")
        try:
            rs.broadcast_(array, 0, timeout_s=1.0)
        except errors.TimedOutError as error:
            print(error.missing)
        except errors.PeerLostError as error:
            print((2,), error.cause == "it gave up waiting for ranks {2}")
        """,
    )
    stop_last(job)
    job.started[0].wait(20)
    job.kill(2, signal.SIGKILL)
    ended = job.end()
    assert [one.code for one in ended[:2]] == [0, 0], [one.err for one in ended]
    assert ended[0].said == ["(2,)"]


def test_a_rank_killed_while_the_others_wait_for_more_is_missing_at_the_meeting(jobs):
    job = jobs.start(3, "tell(f'begin{RANK}'); rs.init()", start=2, RINGSYNC_START_TIMEOUT_S="1.5")
    job.word("begin1")
    job.kill(1)
    first = job.end()[0]
    assert first.code == 1
    assert "ranks {1, 2} of 3 missing after 1.5 s" in first.err
    assert jobs.remains() == []
