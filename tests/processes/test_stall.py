"""A rank that keeps others waiting is named with its stacks, and after a limit that is an error."""

import re
import signal

import pytest

from .job import require_ended

# A quarter of the limit that it must not reach, and longer than anything that a rank tries again.
PAUSE_S = 5.0

# Longer than ranks that do come are apart.
WARN_S = "1"

# At the limit, or whenever a core is free after it.
MOVED = r"StallError: \[allreduce\] 'fc1\.weight': nothing has moved for [\d.]+ s"

# What ranks 0 and 1 do while all others do something else.
WAIT = """
rs.init()
rs.barrier()
tell(f"ready{RANK}")
if RANK >= 2:
    keep_waiting()
result = rs.allreduce(np.full(4, RANK + 1.0), op=rs.Sum, name="fc1.weight")
print(result.tolist())
"""


@pytest.mark.alone
def test_a_stopped_rank_is_named_and_ends_the_others_with_code_75(jobs):
    job = jobs.start(
        3,
        "def keep_waiting(): await_word('never', 60)\n" + WAIT,
        RINGSYNC_STALL_WARN_S="0.5",
        RINGSYNC_STALL_ABORT_S="2",
    )
    for rank in range(3):
        job.word(f"ready{rank}")
    job.kill(2, signal.SIGSTOP)
    job.started[0].wait(20)
    job.started[1].wait(20)
    job.kill(2)
    ended = job.end()
    assert [ended[0].code, ended[1].code] == [75, 75]  # also whoever is told that the other gave up
    told = ended[0].err + ended[1].err
    assert "for ranks {2} in allreduce 'fc1.weight'." in told
    assert "Its process is stopped, so its stacks cannot be had." in told
    assert told.count("has waited") == 1
    assert re.search(MOVED, told), told
    assert "ranks {2} take no part. See what they are doing, or raise RINGSYNC_STALL" in told


@pytest.mark.alone
@pytest.mark.parametrize(
    "then",
    [
        "except rs.errors.StallError as error: raise RuntimeError('a library says it') from error",
        "finally: rs.shutdown()",
    ],
    ids=["raised from it", "shut down meanwhile"],
)
def test_an_error_that_comes_of_a_stall_exits_with_75_as_well(jobs, then):
    job = jobs.start(
        2,
        f"""
        rs.init()
        if RANK == 1:
            await_word("go on")
        else:
            try: rs.allreduce(np.ones(4), name="w")
            {then}
        """,
        RINGSYNC_STALL_WARN_S="0",
        RINGSYNC_STALL_ABORT_S="1",
    )
    job.started[0].wait(20)
    job.tell("go on")
    assert job.end()[0].code == 75


def test_an_error_that_is_its_own_cause_is_told_as_itself(jobs):
    (ended,) = jobs.run(1, "rs.init()\nerror = ValueError('mine')\nraise error from error")
    assert ended.code == 1
    assert ended.err.rstrip().endswith("ValueError: mine")


@pytest.mark.parametrize(
    "work",
    ["await_word('go on')", "sum(range(10**9))  # holds the interpreter all the time"],
    ids=["asleep", "in C"],
)
def test_a_rank_that_does_something_else_is_told_with_its_python_stack(jobs, work):
    job = jobs.start(
        3,
        f"def keep_waiting():\n    {work}\n" + WAIT,
        RINGSYNC_STALL_WARN_S=WARN_S,
        RINGSYNC_STALL_ABORT_S="0",
    )
    for rank in range(3):
        job.word(f"ready{rank}")
    seen = job.await_text("err", (0, 1), "in keep_waiting")
    assert "for ranks {2} in allreduce 'fc1.weight'" in seen
    if "sum" in work:
        for process in job.started:
            process.kill()
        job.end()
        return
    job.tell("go on")
    ended = job.end()
    assert [one.code for one in ended] == [0] * 3, [one.err for one in ended]
    assert [one.said for one in ended] == [["[6.0, 6.0, 6.0, 6.0]"]] * 3


def test_two_ranks_missing_at_once_are_both_named_with_their_stacks(jobs):
    job = jobs.start(
        4,
        "def keep_waiting(): globals()[f'keep_waiting_{RANK}']()\n"
        "def keep_waiting_2(): await_word('go on')\n"
        "def keep_waiting_3(): await_word('go on')\n" + WAIT,
        RINGSYNC_STALL_WARN_S=WARN_S,
        RINGSYNC_STALL_ABORT_S="0",
    )
    for rank in range(4):
        job.word(f"ready{rank}")
    for rank in (2, 3):
        seen = job.await_text("err", (0, 1), f"in keep_waiting_{rank}")
    assert "for ranks {2, 3} in allreduce 'fc1.weight'" in seen
    job.tell("go on")
    ended = job.end()
    require_ended(ended)
    assert [one.said for one in ended] == [["[10.0, 10.0, 10.0, 10.0]"]] * 4


@pytest.mark.alone
@pytest.mark.parametrize(
    "work",
    [
        "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
        # Minutes, all of which it holds the interpreter.
        "sum(range(10**10))",
    ],
    ids=["in a deadlock", "in C"],
)
def test_a_rank_that_never_comes_is_an_error_of_the_others_and_told_with_its_stack(jobs, work):
    job = jobs.start(
        3,
        f"def keep_waiting():\n    {work}\n" + WAIT,
        RINGSYNC_STALL_WARN_S="0.5",
        RINGSYNC_STALL_ABORT_S="2",
    )
    for rank in range(3):
        job.word(f"ready{rank}")
    job.started[0].wait(20)
    job.started[1].wait(20)
    is_stuck = job.started[2].poll() is None
    job.kill(2)
    ended = job.end()
    assert is_stuck, ended[2].err
    assert [ended[0].code, ended[1].code] == [75, 75], job.errors()
    told = ended[0].err + ended[1].err
    assert "for ranks {2} in allreduce 'fc1.weight'." in told
    assert "in keep_waiting" in told
    assert re.search(MOVED, told), told
    assert "ranks {2} take no part." in told


@pytest.mark.parametrize("is_amid", [False, True], ids=["between two", "amid a stream"])
def test_a_pause_shorter_than_the_limits_changes_nothing(jobs, is_amid):
    # A second of operations, so that the stop comes amid them; that it did is judged below.
    script = f"""
import hashlib
rs.init()
rs.barrier()
values = np.random.default_rng(RANK).normal(size=100_000)
for step in range(1000):
    values[RANK::3] += step  # or all ranks would have the same from the first step on
    rs.allreduce_(values, name="w")
    if step == 20:
        tell(f"amid{{RANK}}")
        {"pass" if is_amid else "await_word('go')"}
tell(f"over{{RANK}}")
print(hashlib.sha256(values).hexdigest())
"""
    ends = []
    for pause_s in (0, PAUSE_S):
        job = jobs.start(3, script, RINGSYNC_STALL_WARN_S="20", RINGSYNC_STALL_ABORT_S="30")
        for rank in range(3):
            job.word(f"amid{rank}")
        if pause_s:
            job.kill(1, signal.SIGSTOP)
        job.tell("go")
        job.pause(pause_s)
        if pause_s:
            assert not any((job.board / f"over{rank}").exists() for rank in range(3))
        job.kill(1, signal.SIGCONT)
        ends.append(job.end())
        assert [one.code for one in ends[-1]] == [0] * 3, [one.err for one in ends[-1]]
        assert not any("has waited" in one.err for one in ends[-1])
    assert [one.said for one in ends[0]] == [one.said for one in ends[1]]


def test_what_ended_a_rank_is_told_to_those_who_needed_it(jobs):
    ended = jobs.run(
        2,
        """
rs.init()
rs.barrier()
if RANK == 1:
    raise ValueError("the data set\\nis empty")
try:
    rs.allreduce_(np.ones(3), name="fc1")
except errors.PeerLostError as error:
    print(error.rank, error.tensor, "|", error.cause)
""",
    )
    assert ended[1].code == 1
    [said] = ended[0].said
    assert said.startswith("1 fc1 | its process has ended with ")
    assert "ValueError: the data set" in said
    assert "script.py:" in said


def test_hooks_of_the_program_are_called_and_put_back(jobs):
    ended = jobs.run(
        1,
        """
import threading
calls = []
mine = sys.excepthook = lambda *args: calls.append(args[0].__name__)
rs.init()
assert sys.excepthook is not mine
sys.excepthook(ValueError, ValueError("x"), None)
thread = threading.Thread(target=lambda: 1 / 0)
rs.shutdown()
assert sys.excepthook is mine
rs.init()
try:
    raise ValueError
except ValueError:
    rs.shutdown()
assert sys.excepthook is mine
print(calls)
""",
    )
    assert ended[0].code == 0, ended[0].err
    assert ended[0].said == ["['ValueError']"]
