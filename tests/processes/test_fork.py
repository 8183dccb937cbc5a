"""A forked child has no engine: it may live and end as it likes, and its parent goes on."""

import pytest

BEGIN = """
rs.init()
shared = rs.empty(1000)
handle = rs.allreduce_async(np.ones(10))
child = os.fork()
if child == 0:
    signal.alarm(8)  # a hang ends as SIGALRM
    {child}
_, status = os.waitpid(child, 0)
assert status == 0, os.waitstatus_to_exitcode(status)
handle.wait()
for turn in range(50):
    shared[...] = turn
    assert rs.allreduce_(shared)[0] == turn
    assert rs.allreduce(np.ones(5), op=rs.Sum)[0] == 2
"""

INERT = """
    require_inert(
        rs.rank, rs.size, rs.barrier, lambda: rs.empty(3), lambda: rs.allreduce(np.ones(3)),
        lambda: rs.allreduce_(shared), lambda: rs.broadcast_object(1), lambda: rs.stop_timeline(),
    )
    os._exit(1 if rs.is_initialized() else 0)
"""


def test_a_forked_child_is_not_told_to_start_its_parent_s_rank_again(jobs):
    child = """
    try:
        rs.barrier()
    except errors.NotInitializedError as error:
        way_out = str(error).partition(". ")[2]
        os._exit(0 if way_out == "Make the call in the process that forked this one." else 1)
    os._exit(1)
"""
    ended = jobs.run(2, BEGIN.format(child=child))
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]


@pytest.mark.parametrize(
    "child",
    [
        INERT,
        "sys.exit(0)",
        "os._exit(0)",
        "rs.shutdown(); del shared, handle; import gc; gc.collect(); sys.exit(0)",
        "import multiprocessing; p = multiprocessing.get_context('fork').Process(target=int)\n"
        "    p.start(); p.join(); sys.exit(p.exitcode)",
        "os.execv(sys.executable, [sys.executable, '-c', ''])",
    ],
    ids=["uses all", "ends", "ends at once", "lets go", "forks again", "becomes another program"],
)
def test_a_forked_child_does_no_harm(jobs, child):
    ended = jobs.run(2, BEGIN.format(child=child))
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    assert jobs.remains() == []


def test_a_handle_of_the_parent_s_is_an_error_in_the_child_and_no_hang(jobs):
    child = """
    try:
        late.wait()
    except errors.NotInitializedError:
        os._exit(0)
    os._exit(1)
"""
    # In flight for certain: nothing is sent before the child has ended.
    begin = BEGIN.replace(
        "child = os.fork()", "late = rs.recv_async(np.ones(3), 1 - RANK)\nchild = os.fork()"
    )
    late = "rs.send_async(np.ones(3), 1 - RANK)\nlate.wait()"
    ended = jobs.run(2, begin.replace("handle.wait()", late).format(child=child))
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]


def test_many_children_of_a_rank_that_is_at_work_all_end(jobs):
    ended = jobs.run(
        2,
        """
        import threading
        rs.init()
        stop = threading.Event()
        def stream():
            for turn in range(3000):
                rs.allreduce(np.ones(10), name=f"t{turn}")
            stop.set()
        worker = threading.Thread(target=stream)
        worker.start()
        children = 0
        while not stop.is_set() and children < 40:
            child = os.fork()
            if child == 0:
                signal.alarm(8)
                sys.exit(0)
            assert os.waitpid(child, 0)[1] == 0
            children += 1
        worker.join()
        """,
    )
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]


NOT_ITS_PARENT_S_RANK = """
    try:
        rs.init()
    except errors.NotInitializedError as error:
        sys.exit(0 if str(error).startswith("[init] a forked child") else 1)
    sys.exit(1)
"""


def test_a_forked_child_is_not_its_parent_s_rank_again(jobs):
    ended = jobs.run(2, BEGIN.format(child=NOT_ITS_PARENT_S_RANK))
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]


ALONE = """
    world = dict(os.environ)
    for name in world:
        if name.startswith(("RINGSYNC_", "HOROVOD_")) or name in ("RANK", "WORLD_SIZE"):
            del os.environ[name]
    rs.init()
    assert (rs.size(), rs.allreduce(np.ones(2))[0]) == (1, 1.0)
"""


@pytest.mark.parametrize("last", ["", "rs.shutdown(); "])
def test_a_forked_child_that_is_nobody_s_rank_may_be_one_alone(jobs, last):
    ended = jobs.run(2, BEGIN.format(child=f"{ALONE}\n    {last}sys.exit(0)"))
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    assert jobs.remains() == []


@pytest.mark.parametrize(
    ("last", "is_grandchild"), [("rs.shutdown()", False), ("", True), ("rs.shutdown()", True)]
)
def test_having_been_alone_makes_no_child_its_parent_s_rank(jobs, last, is_grandchild):
    child = f"""{ALONE}
    os.environ.update(world)
    {last}
    grandchild = {is_grandchild} and os.fork()
    if grandchild:
        _, status = os.waitpid(grandchild, 0)
        os._exit(status != 0)
{NOT_ITS_PARENT_S_RANK}"""
    ended = jobs.run(2, BEGIN.format(child=child))
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
