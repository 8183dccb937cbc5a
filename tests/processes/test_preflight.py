"""Processes that run different things say so when they meet."""

import re

import pytest

from ringsync.version import __version__

from .job import require_ended

WORK = """
import ringsync.version
{before}
rs.init()
print(float(rs.allreduce(np.ones(1), op=rs.Sum)[0]))
"""


def test_a_rank_with_another_numpy_is_named_once(jobs):
    before = "if RANK == 1: np.__version__ = '1.0.0'"
    ended = jobs.run(3, WORK.format(before=before))
    assert [one.said for one in ended] == [["3.0"]] * 3, [one.err for one in ended]
    assert ended[0].err.startswith("[preflight] ranks differ: NumPy is 1.0.0 on rank 1, ")
    assert ended[0].err.endswith(" on ranks 0, 2. Start all ranks alike.\n")
    assert ended[0].err.count("\n") == 1
    assert [one.err for one in ended[1:]] == ["", ""]


@pytest.mark.parametrize(
    ("variable", "own", "other"),
    [("RINGSYNC_BUCKET_MIB", "4", "16"), ("RINGSYNC_NCCL", "off", "auto")],
)
def test_a_setting_of_one_rank_only_is_told_with_both_values(jobs, variable, own, other):
    job = jobs.start(2, WORK.format(before=""), start=1, **{variable: own})
    jobs.add(job, 1, **{variable: other})
    ended = job.end()
    assert [one.code for one in ended] == [0, 0]
    assert ended[0].err == (
        f"[preflight] ranks differ: {variable} is {other} on rank 1, {own} on rank 0. "
        "Start all ranks alike.\n"
    )


def test_a_misspelt_variable_is_told_once_with_the_name_that_is_right(jobs):
    ended = jobs.run(3, WORK.format(before=""), RINGSYNC_STALLWARN_S="5")
    told = (
        "[config] RINGSYNC_STALLWARN_S is set, which ringsync does not read; it reads "
        "RINGSYNC_STALL_WARN_S. Correct its name.\n"
    )
    assert [one.err for one in ended] == [told, "", ""]


def test_a_misspelt_variable_of_another_rank_is_told_too(jobs):
    job = jobs.start(2, WORK.format(before=""), start=1)
    jobs.add(job, 1, RINGSYNC_STALLWARN_S="5")
    assert job.end()[0].err == (
        "[preflight] ranks differ: misspelt variable is RINGSYNC_STALLWARN_S on rank 1, (none) on "
        "rank 0. Start all ranks alike.\n"
    )


def test_a_rank_of_another_script_is_told_with_both_paths(jobs):
    ended = jobs.run(
        2,
        WORK.format(
            before="""
if RANK == 1:
    sys.argv[0] = str(BOARD / "other.py")
    Path(sys.argv[0]).write_text("pass")
"""
        ),
    )
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    line = (
        r"\[preflight\] ranks differ: script is /.*/other\.py \(\w{8}\) on rank 1, /.*/script\.py "
    )
    assert re.match(line + r"\(\w{8}\) on rank 0\. Start all ranks alike\.\n$", ended[0].err)


def test_versions_that_cannot_talk_end_every_rank_with_one_error(jobs):
    before = "if RANK == 2: ringsync.version.__version__ = '9.9.0'"
    ended = jobs.run(3, WORK.format(before=before))
    assert [one.code for one in ended] == [1] * 3
    expected = (
        f"ringsync.errors.RendezvousError: [rendezvous] rank 2 of 3 runs ringsync 9.9.0, rank 0 "
        f"runs {__version__}, and these versions cannot talk to each other. Install one version "
        "for all ranks."
    )
    assert [one.err.splitlines()[-1] for one in ended] == [expected] * 3
    assert jobs.remains() == []


def test_an_algorithm_of_one_rank_only_ends_every_rank_with_one_error(jobs):
    job = jobs.start(2, WORK.format(before=""), start=1)
    jobs.add(job, 1, RINGSYNC_ALGORITHM="ring")
    ended = job.end()
    assert [one.code for one in ended] == [1] * 2
    assert [one.err.splitlines()[-1] for one in ended] == [
        "ringsync.errors.ConfigError: [preflight] RINGSYNC_ALGORITHM is ring on rank 1, (none) on "
        "rank 0. Set it alike on all ranks, or on none."
    ] * 2
    assert jobs.remains() == []


@pytest.mark.parametrize("size", [2, 8])
def test_equal_ranks_say_nothing(jobs, size):
    ended = jobs.run(size, WORK.format(before=""))
    assert [one.err for one in ended] == [""] * size


NOT_TELLING = """
from ringsync import preflight, runtime
preflight._FAREWELL_S = 1.0  # by which rank 0 gives up later; its usual length would be waited for
tell(f"ready{{RANK}}")
await_word("all ready")  # or one might begin to wait when another has given up
if RANK in {late}:
    runtime.compare_ranks = lambda *_: {instead}
try:
    rs.init()
except errors.RendezvousError as error:
    print(error)
if RANK == 0:
    tell("over")
"""


def begun_together(jobs, size, script, **variables):
    job = jobs.start(size, script, **variables)
    for rank in range(size):
        job.word(f"ready{rank}")
    job.tell("all ready")
    return job.end(20.0)


def test_all_ranks_that_meet_and_tell_nothing_are_named_on_every_other(jobs):
    late = "await_word('over') or sys.exit()"
    script = NOT_TELLING.format(late="(2, 3)", instead=late)
    ended = begun_together(jobs, 4, script, RINGSYNC_START_TIMEOUT_S="4")
    require_ended(ended)
    told = (
        "[rendezvous] ranks {2, 3} of 4 missing after 4.0 s: they have met the others and not told "
        "what they run. See what stops them."
    )
    assert [one.said for one in ended] == [[told], [told], [], []]


def test_a_rank_that_ends_before_it_has_told_is_named_on_every_other_at_once(jobs):
    ended = begun_together(jobs, 3, NOT_TELLING.format(late="(1,)", instead="os._exit(0)"))
    require_ended(ended)
    told = (
        "[rendezvous] rank 1 of 3 ended before all ranks were connected. Read rank 1's log first."
    )
    assert [one.said for one in ended] == [[told], [], [told]]


def test_calls_without_a_name_are_counted_from_the_script_s_first(jobs):
    script = """
rs.init()
try:
    rs.allreduce(np.ones(2 + RANK))
except errors.MismatchError as error:
    assert "'unnamed 0'" in str(error), error
else:
    sys.exit("nothing was raised")
"""
    assert [one.code for one in jobs.run(2, script)] == [0, 0]
