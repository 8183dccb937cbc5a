"""A rank whose `init` fails keeps nobody waiting, and leaves nothing behind where it lives on."""

# What one rank alone runs into, after all have met.
UNWRITABLE = """
if RANK == 1:
    os.environ["RINGSYNC_TIMELINE"] = "/proc/nowhere"
"""


def test_peers_of_a_rank_that_lives_on_without_init_are_told_why(jobs):
    ended = jobs.run(
        2,
        UNWRITABLE
        + """
from ringsync import endings
endings._UNCAUGHT_S = 0.1  # the exception is caught
try:
    rs.init()
except errors.ConfigError:
    await_word("over")
    sys.exit()
try:
    rs.allreduce(np.ones(3))
except errors.PeerLostError as error:
    print(error.rank, error.cause)
tell("over")
""",
    )
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    assert "1 rank 1 could not start: ringsync.errors.ConfigError: [timeline] " in ended[0].out


def test_peers_of_a_rank_that_ends_without_init_see_its_end_and_not_sooner(jobs):
    job = jobs.start(
        2,
        UNWRITABLE
        + """
rs.init()
try:
    rs.allreduce(np.ones(3))
except errors.PeerLostError as error:
    print(error.rank, error.cause)
""",
    )
    ended = job.end()
    assert [one.code for one in ended] == [0, 1], job.errors()
    assert "1 its process has ended with ringsync.errors.ConfigError: [timeline] " in ended[0].out
    assert "leaked" not in ended[1].err


def test_an_init_that_fails_leaves_no_hook_and_no_thread(jobs):
    ended = jobs.run(
        1,
        """
        import gc, threading
        from ringsync import endings
        endings._UNCAUGHT_S = 0.1
        hooks = sys.excepthook, threading.excepthook
        before = len(os.listdir("/proc/self/task"))
        for _ in range(3):
            try:
                rs.init()
            except errors.ConfigError:
                pass
        assert hooks == (sys.excepthook, threading.excepthook)
        limit = time.monotonic() + 10
        while len(os.listdir("/proc/self/task")) > before and time.monotonic() < limit:
            os.sched_yield()
        gc.collect()
        print(len(os.listdir("/proc/self/task")) - before)
        print(sum(isinstance(one, endings.Endings) for one in gc.get_objects()))
        del os.environ["RINGSYNC_TIMELINE"]
        rs.init()
        assert rs.allreduce(np.ones(3)).tolist() == [1.0] * 3
        """,
        RINGSYNC_TIMELINE="/proc/nowhere",
    )
    assert [(one.code, one.said) for one in ended] == [(0, ["0", "0"])], ended[0].err


def test_a_time_out_in_init_that_nobody_catches_exits_as_every_one(jobs):
    job = jobs.start(
        2,
        """
        from ringsync import runtime
        if RANK == 1:
            runtime.choose_way = lambda *_: await_word("over")
        try:
            rs.init()
        except errors.TimedOutError:
            tell("over")
            raise
        """,
        RINGSYNC_START_TIMEOUT_S="1",
    )
    ended = job.end()
    assert ended[0].code == 75, job.errors()
