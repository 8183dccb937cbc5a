"""What still calls when the interpreter ends gets an answer, or stays where it is."""

import pytest

CALLS = [
    "rs.barrier()",
    "rs.barrier(timeout_s=1.0)",
    "rs.allreduce_(np.ones(3))",
    "rs.allreduce(np.ones(3))",
    "rs.grouped_allreduce_([])",
    "rs.allreduce_async_(np.ones(3))",
    "rs.broadcast_object(1)",
    "rs.empty(3)",
]


@pytest.mark.parametrize("size", [1, 2])
def test_a_finalizer_at_the_end_is_told_that_there_is_no_engine(jobs, size):
    ended = jobs.run(
        size,
        f"CALLS = {CALLS!r}"
        + """
class Trainer:
    def __del__(self):
        for call in CALLS:
            try:
                eval(call)
            except errors.NotInitializedError as error:
                if "this process is ending" in str(error):
                    os.write(1, b"told\\n")
        rs.shutdown()

rs.init()
rs.barrier()
trainer = Trainer()
""",
    )
    assert [one.code for one in ended] == [0] * size, [one.err for one in ended]
    assert [one.said for one in ended] == [["told"] * len(CALLS)] * size


LEFT = """
rs.init()
rs.barrier()
if RANK == 1:
    await_word("over")  # its end would end what rank 0 has in flight
    sys.exit()
left = [rs.allreduce_async(np.ones(3), name=name) for name in NAMES]
{end}
"""


def ended_first(jobs, names, end):
    job = jobs.start(2, f"NAMES = {names}" + LEFT.format(end=end))
    job.started[0].wait(20)
    job.tell("over")
    return job.end()[0]


@pytest.mark.parametrize("end", ["", "rs.shutdown()", "sys.exit(3)"])
@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], ""),
        ([None], "1 operation in flight"),
        (["fc1"], "1 operation in flight, 'fc1' among them"),
        ([None, "fc1", None], "3 operations in flight, 'fc1' among them"),
    ],
)
def test_a_rank_that_ends_with_operations_in_flight_tells_how_many(jobs, names, told, end):
    ended = ended_first(jobs, names, end)
    says = told and f"[shutdown] rank 0 of 2 ends with {told}. Wait for all handles first.\n"
    assert ended.err == says
    assert ended.code == (3 if "exit" in end else 0)


@pytest.mark.parametrize(
    "end", ["raise ValueError", "try: raise ValueError\nfinally: rs.shutdown()"]
)
def test_what_an_exception_leaves_in_flight_is_not_told(jobs, end):
    ended = ended_first(jobs, ["fc1"], end)
    assert ended.code == 1
    assert "in flight" not in ended.err


def test_daemon_threads_inside_calls_do_not_end_a_good_run_with_an_abort(jobs):
    # Whether a thread comes back before or after the interpreter begins to end is chance.
    for _ in range(10):
        ended = jobs.run(
            1,
            """
import threading
rs.init()

def loop(inside):
    while True:
        try:
            rs.allreduce(np.ones(3))
            handle = rs.allreduce_async_(np.ones(3))
            handle.wait()
            inside.set()
        except errors.RingsyncError:
            pass

def busy():
    while True:
        sum(range(1000))

threading.Thread(target=busy, daemon=True).start()
calling = [threading.Event() for _ in range(2)]
for inside in calling:
    threading.Thread(target=loop, args=(inside,), daemon=True).start()
for inside in calling:
    inside.wait()
print("trained", flush=True)
""",
        )
        assert ended[0].code == 0, ended[0].err
        assert ended[0].said == ["trained"]


def test_a_daemon_thread_that_still_calls_is_told_that_its_process_is_at_an_end(jobs):
    ended = jobs.run(
        1,
        """
import atexit, threading
from ringsync import runtime
rs.init()
inside = threading.Event()

def loop():
    while True:
        try:
            rs.allreduce_async_(np.ones(3)).wait()
            inside.set()
        except errors.NotInitializedError as error:
            print(error, flush=True)
            return

thread = threading.Thread(target=loop, daemon=True)
# What is registered later runs earlier: the engine ends, then the thread's last words are read.
atexit.unregister(runtime._close_at_exit)
atexit.register(thread.join)
atexit.register(runtime._close_at_exit)
thread.start()
inside.wait()
""",
    )
    assert ended[0].code == 0, ended[0].err
    (told,) = ended[0].said
    assert "the script" in told
    assert "init()" not in told


def test_a_call_before_init_is_told_to_call_it(jobs):
    ended = jobs.run(
        1,
        """
try:
    rs.allreduce(np.ones(3))
except errors.NotInitializedError as error:
    print(error)
""",
    )
    assert ended[0].said == [
        "[ringsync] no engine runs in this process; it is made by init(). Call ringsync.init() "
        "first."
    ]
