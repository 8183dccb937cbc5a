"""Who failed first, and how, is told: in five lines, in summary.json and in the exit code."""

import json
import socket
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync.launch.link import Link, Message, link_pair
from ringsync.launch.tail import Tail

from .test_exit import STUBBORN_OTHERS


def summary_of(launcher) -> dict:
    return json.loads((launcher.directory / "logs/summary.json").read_text())


def test_the_summary_file_tells_every_ranks_end(launcher):
    script = launcher.script(STUBBORN_OTHERS.format(failure="sys.exit(7)"))
    launcher.run("-np", "2", "--grace-period", "0", "--log-dir", "logs", script)
    summary = summary_of(launcher)
    assert (summary["cause"], summary["exit_code"]) == ("rank failed", 7)
    assert summary["first_failing_rank"] == 1
    assert summary["how"] == "exited with code 7"
    ranks = summary["ranks"]
    assert [rank["rank"] for rank in ranks] == [0, 1]
    assert [rank["ended_by_launcher"] for rank in ranks] == [True, False]
    assert [rank["exit_code"] for rank in ranks] == [137, 7]
    assert [rank["signal"] for rank in ranks] == ["SIGKILL", None]
    assert [rank["host"] for rank in ranks] == [socket.gethostname()] * 2
    assert ranks[1]["last_stderr_lines"] == ["rank 1 gives up"]
    for rank in ranks:
        assert rank["pid"] > 1
        assert datetime.fromisoformat(rank["started"]) < datetime.fromisoformat(rank["ended"])


def test_a_summary_that_cannot_be_written_is_no_success(launcher):
    done = launcher.run("-np", "1", "--log-dir", "logs", "rm", "-rf", "logs")
    assert done.returncode == 78
    words = f"[ringsyncrun] summary.json is missing, {launcher.directory}/logs does not take it: "
    assert words + "No such file or directory. Make room there, or name" in done.stderr


def test_an_uncaught_exception_is_in_the_summary_and_in_the_last_words(launcher):
    script = launcher.script("def f():\n    raise ValueError('the\\nreason')\nf()")
    done = launcher.run("-np", "1", "--log-dir", "logs", script)
    assert done.returncode == 1
    (rank,) = summary_of(launcher)["ranks"]
    assert rank["exception"] == "ValueError: the"
    assert rank["last_stderr_lines"][-2:] == ["ValueError: the", "reason"]
    how = "how: exited with code 1; its last traceback ended with ValueError: the; ringsyncrun"
    assert how in done.stderr


@pytest.mark.parametrize(
    ("kind", "code", "cause"),
    [
        ("StallError", 75, "stall"),
        ("TimedOutError", 75, "time-out"),
        ("RendezvousError", 75, "start time-out"),
        ("AuthenticationError", 77, "authentication"),
        ("ConfigError", 78, "configuration"),
        ("MismatchError", 1, "rank failed"),
    ],
)
def test_errors_with_a_code_of_their_own_give_it_to_the_job(launcher, kind, code, cause):
    failure = f"from ringsync.errors import {kind}; raise {kind}('[stall] why')"
    script = launcher.script(STUBBORN_OTHERS.format(failure=failure))
    done = launcher.run("-np", "2", "--grace-period", "0", "--log-dir", "logs", script)
    assert done.returncode == code
    summary = summary_of(launcher)
    assert (summary["first_failing_rank"], summary["exit_code"]) == (1, code)
    assert summary["cause"] == cause
    assert summary["ranks"][1]["exit_code"] == 1
    assert f"{kind}: [stall] why" in summary["how"]


def test_a_rank_that_chooses_75_itself_is_quoted_as_well(launcher):
    script = launcher.script(
        """
        import sys, traceback
        from ringsync.errors import StallError
        try:
            raise StallError("[stall] why")
        except StallError:
            traceback.print_exc()
            sys.exit(75)
        """
    )
    done = launcher.run("-np", "1", script)
    assert done.returncode == 75
    assert "how: exited with code 75 after ringsync.errors.StallError: [stall] why" in done.stderr


def test_ranks_that_wait_in_vain_at_the_start_end_the_job_with_75(launcher):
    script = launcher.script(
        """
        import os, time
        import ringsync as rs
        if os.environ["RANK"] == "1":
            time.sleep(60)  # until it is ended
        rs.init()
        """
    )
    done = launcher.run("-np", "2", "--start-timeout", "0.5", script)
    assert done.returncode == 75
    assert "rank 0 of 2 failed first" in done.stderr
    assert "RendezvousError: " in done.stderr


def test_a_wrong_setting_ends_the_job_with_78(launcher):
    script = launcher.script("import ringsync as rs; rs.init()")
    done = launcher.run("-np", "1", "-x", "RINGSYNC_BUCKET_MIB=64MB", script)
    assert done.returncode == 78


def test_an_interrupted_job_has_no_first_failing_rank(launcher):
    # Far longer than the test: whoever is asleep is ended.
    script = launcher.script("import time; print('rank ready', flush=True); time.sleep(60)")
    running = launcher.start("-np", "2", "--log-dir", "logs", script)
    running.expect("rank ready", 2)
    running.process.terminate()
    assert running.finish() == 143
    summary = summary_of(launcher)
    assert (summary["cause"], summary["detail"]) == ("interrupted", "SIGTERM")
    assert summary["first_failing_rank"] is None
    assert [rank["ended_by_launcher"] for rank in summary["ranks"]] == [True, True]


@given(st.lists(st.text(alphabet="aé :\n", max_size=20), max_size=40))
def test_a_tail_keeps_the_last_lines_that_are_not_blank(lines):
    tail = Tail()
    for line in lines:
        tail.add(f"{line}\n".encode())
    kept = [text for line in lines if (text := line.rstrip())]
    assert tail.lines == kept[-20:]
    assert tail.exception == ""


TRACEBACK = """Traceback (most recent call last):
  File "a.py", line 3, in <module>
    f()
package.Late: why
"""
EARLIER = TRACEBACK.replace("package.Late: why", "ZeroDivisionError: division by zero")
CHAINED = "\nDuring handling of the above exception, another exception occurred:\n\n"
FINALIZER = "Exception ignored in: <function A.__del__ at 0x7f>\n"
THREAD = "Exception in thread Thread-1 (f):\n"
PAINTED = (
    "Traceback (most recent call last):\n"
    '  File \033[35m"a.py"\033[0m, line \033[35m3\033[0m, in \033[35m<module>\033[0m\n'
    "    \033[31mf\033[0m\033[1;31m()\033[0m\n"
    "\033[1;35mpackage.Late\033[0m: \033[35mwhy\033[0m\n"
)
GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "a.py", line 3, in <module>
  |     f()
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "a.py", line 1, in f
    | ValueError: 1
    +---------------- 2 ----------------
    | ValueError: 2
    +------------------------------------
"""


@pytest.mark.parametrize(
    ("text", "exception", "is_final"),
    [
        (EARLIER + CHAINED + TRACEBACK, "package.Late: why", True),
        (TRACEBACK + "and more words\n", "package.Late: why", False),
        (TRACEBACK + "[ringsync] rank 0 of 2 goes.\n", "package.Late: why", True),
        (TRACEBACK + "/a/b.py:9: UserWarning: leaked\n  warn()\n", "package.Late: why", True),
        (TRACEBACK + FINALIZER + EARLIER, "package.Late: why", True),
        (TRACEBACK + FINALIZER + "TypeError: late\n", "package.Late: why", True),
        (TRACEBACK + THREAD + EARLIER, "package.Late: why", True),
        (THREAD + TRACEBACK, "", False),
        (FINALIZER + EARLIER + TRACEBACK, "package.Late: why", True),
        (PAINTED, "package.Late: why", True),
        (GROUP, "ExceptionGroup: two (2 sub-exceptions)", True),
        (EARLIER + CHAINED + GROUP, "ExceptionGroup: two (2 sub-exceptions)", True),
    ],
)
def test_the_exception_that_ended_a_program_is_told_from_others(text, exception, is_final):
    tail = Tail()
    for line in text.splitlines():
        tail.add(line.encode())
    assert (tail.exception, tail.is_final) == (exception, is_final)


def test_an_exception_that_was_caught_and_shown_gives_the_job_no_code(launcher):
    script = launcher.script(
        """
        import sys, traceback
        from ringsync.errors import ConfigError
        try:
            raise ConfigError("[x] recovered")
        except ConfigError:
            traceback.print_exc()
        sys.exit("the loss is no number")
        """
    )
    done = launcher.run("-np", "1", script)
    assert done.returncode == 1
    assert "; its last traceback ended with ringsync.errors.ConfigError: [x]" in done.stderr


def report_of(tail):
    facts = {"code": None, "signal": 15, "ended_s": 1e9 / 3}
    told = {"stderr": tail.lines, "exception": tail.exception, "is_final": tail.is_final}
    return Message("ended", facts | told)


def sent_through(message, room_bytes=None):
    ours, theirs = link_pair()
    guard = Link(theirs)
    if room_bytes is not None:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room_bytes)
    guard.send(message)
    (got,) = ours.receive()
    for end in (ours, guard):
        end.close()
    return got


def test_reports_of_a_guard_that_has_not_read_its_last_order_arrive():
    ours, theirs = link_pair()
    guard = Link(theirs)
    reports = [report_of(Tail()), Message("over", {"left": []})]
    for report in reports:
        guard.send(report)
    ours.send(Message("end", {}))
    guard.close()
    assert list(ours.receive()) == reports
    assert not ours.is_open
    ours.close()


@pytest.mark.parametrize("character", ["a", "é", "😀", "\0"])
def test_the_largest_report_fits_into_a_packet(character):
    tail = Tail()
    long = character.encode() * 500_000
    for _ in range(30):
        for line in (b"Traceback (most recent call last):", b"ValueError: " + long, long):
            tail.add(line)
    assert (len(tail.lines), len(tail.exception)) == (20, 500)
    report = report_of(tail)
    assert sent_through(report) == report


def test_a_report_that_the_system_finds_too_large_goes_without_the_lines():
    tail = Tail()
    for _ in range(20):
        tail.add(b"x" * 500)
    report = report_of(tail)
    got = sent_through(report, room_bytes=0)  # the kernel gives its least, some 4 KiB
    assert "net.core.wmem_default" in got.facts["stderr"][0]
    assert got == report._replace(facts={**report.facts, "stderr": got.facts["stderr"]})
