"""How processes make groups: all of them together; what goes wrong is told on every rank."""

import pytest

from .job import require_ended

DIFFERENT = """
rs.init()
for ranks in ([{0}][RANK], [0, 1], [{0}][RANK]):
    try:
        group = rs.new_group(ranks)
        print(group)
    except errors.RingsyncError as error:
        print(type(error).__name__, error)
rs.barrier()
"""


@pytest.mark.parametrize(
    ("lists", "told"),
    [
        (
            "[0, 1], [0, 1], [1, 2]",
            ["MismatchError rank 2 passed {1, 2}, rank 0 passed {0, 1}"] * 3,
        ),
        ("[0, 1], [0], [0, 1]", ["MismatchError rank 1 passed {0}, rank 0 passed {0, 1}"] * 3),
        (
            "[0, 1], [0, 7], [0, 1]",
            [
                "MismatchError rank 1 passed [0, 7], rank 0 passed {0, 1}",
                "ConfigError ranks=[0, 7]; one rank or more, each once, 0 <= rank < 3,",
                "MismatchError rank 1 passed [0, 7], rank 0 passed {0, 1}",
            ],
        ),
        (
            "'\\u00e4' * 500, [0, 1], [0, 1]",
            ["ConfigError ranks=", *["MismatchError rank 0 passed '\\xe4\\xe4"] * 2],
        ),
        (
            "[1], [True], [1]",
            [
                "MismatchError rank 1 passed [True], rank 0 passed {1}",
                "ConfigError ranks=[True] hold a bool, which is no rank's number; one rank",
                "MismatchError rank 1 passed [True], rank 0 passed {1}",
            ],
        ),
        ("[], [], []", ["ConfigError ranks=[]; one rank or more"] * 3),
    ],
    ids=["sets", "sizes", "range", "text", "bool", "empty"],
)
def test_ranks_that_differ_are_named_on_every_rank_and_work_goes_on(jobs, lists, told):
    ended = jobs.run(3, DIFFERENT.format(lists))
    require_ended(ended)
    for one, text in zip(ended, told, strict=True):
        first, then, again = one.said
        kind, what = text.split(" ", 1)
        assert first.startswith(f"{kind} [new_group] {what}")
        assert then == "group {0, 1}"
        assert again == first


def test_what_a_rank_s_own_iterable_raises_is_told_on_every_rank_and_work_goes_on(jobs):
    ended = jobs.run(
        3,
        """
        class Ranks:
            def __repr__(self):
                return "Ranks()"
            def __iter__(self):
                yield 0
                raise ValueError("no data")

        rs.init()
        try:
            rs.new_group(Ranks() if RANK == 1 else [0, 1])
        except errors.RingsyncError as error:
            print(type(error).__name__, error)
            print(repr(error.__cause__))
        print(rs.new_group([0, 1]))
        """,
    )
    require_ended(ended)
    mismatch = (
        "MismatchError [new_group] rank 1 passed ranks that raise ValueError('no data'), rank 0 "
        "passed {0, 1}. Call it with the same ranks on all ranks."
    )
    refusal = (
        "ConfigError [new_group] ranks=Ranks() raise ValueError('no data'); one rank or more, each "
        "once, 0 <= rank < 3, are expected. Pass, for example, [0]."
    )
    assert [one.said for one in ended] == [
        [mismatch, "None", "group {0, 1}"],
        [refusal, "ValueError('no data')", "group {0, 1}"],
        [mismatch, "None", "group {0, 1}"],
    ]


def test_a_rank_that_does_not_come_is_named_and_no_hang(jobs):
    ended = jobs.run(
        3,
        """
        rs.init()
        if RANK == 1:
            await_word("over")
        else:
            try:
                rs.new_group([0, 2], timeout_s=0.5)
            except errors.TimedOutError as error:
                print(error.missing, error)
            except errors.PeerLostError as error:  # the other has given up first
                print((error.rank,), error)
            tell("over")
        """,
    )
    require_ended(ended)
    for rank in (0, 2):
        assert ended[rank].said[0].startswith("(1,)"), ended[rank].out
        assert "'new_group.0.1'" in ended[rank].out


def test_a_rank_that_dies_while_a_group_is_made_is_named(jobs):
    job = jobs.start(
        3,
        """
        rs.init()
        if RANK == 1:
            tell("there")
            time.sleep(60)  # it is killed
        try:
            rs.new_group([0, 1])
        except errors.PeerLostError as error:
            print(error.rank)
        """,
    )
    job.word("there")
    job.kill(1)
    ended = job.end()
    assert [one.said for one in (ended[0], ended[2])] == [["1"], ["1"]], job.errors()
    assert jobs.remains() == []


def test_no_room_on_one_rank_is_told_on_all_and_nothing_is_left_over(jobs):
    ended = jobs.run(
        3,
        """
        import resource
        rs.init()
        rs.new_group([0, 1, 2]).close()
        rs.barrier()
        before = len(os.listdir("/proc/self/fd"))
        rs.barrier()
        usual = resource.getrlimit(resource.RLIMIT_FSIZE)
        if RANK == 1:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, usual[1]))
        try:
            rs.new_group([0, 1, 2])
        except errors.RingsyncError as error:
            print(type(error).__name__, error)
        if RANK == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        rs.barrier()
        limit = time.monotonic() + 10
        while len(os.listdir("/proc/self/fd")) != before:
            assert time.monotonic() < limit
            os.sched_yield()
        rs.barrier()
        group = rs.new_group([1, 2])
        if RANK > 0:
            assert rs.allreduce(np.ones(3), op=rs.Sum, group=group)[0] == 2
        """,
    )
    require_ended(ended)
    for rank in (0, 2):
        assert ended[rank].out.startswith("RingsyncError [new_group] rank 1 cannot make its part: ")


def test_fifty_groups_leave_no_descriptor_mapping_or_file_on_any_rank(jobs):
    ended = jobs.run(
        3,
        """
        def remains():
            maps = Path("/proc/self/maps").read_text()
            return len(os.listdir("/proc/self/fd")), maps.count("memfd:ringsync")

        rs.init()
        shared = rs.empty(50_000)
        for turn in range(51):
            group = rs.new_group([[0, 1, 2], [0, 1], [1, 2], [2]][turn % 4])
            if RANK in group.ranks:
                rs.allreduce_(shared, group=group)
                rs.allreduce_(np.ones(100), group=group)
                rs.allgather(np.ones(600_000), group=group)
            group.close()
            rs.barrier()
            if turn == 0:
                before = remains()
                rs.barrier()
        limit = time.monotonic() + 10
        while remains() != before and time.monotonic() < limit:
            os.sched_yield()
        print(remains() == before, before, remains())
        rs.barrier()
        """,
    )
    require_ended(ended)
    assert [one.out[:4] for one in ended] == ["True"] * 3, [one.out for one in ended]
    assert jobs.remains() == []
