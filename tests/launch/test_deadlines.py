"""Nothing is waited for without end: no paused reader, no silent guard, no ignored signal."""

import errno
import itertools
import os
import signal
import subprocess
import time

import pytest

import ringsync as rs
from ringsync.errors import TimedOutError
from ringsync.launch.descendants import ProcessEnd, Sweep, children_of, kill_children

from ..readable import is_readable
from .conftest import DEADLINE_S
from .test_run_failures import SCRIPT, WAITING

# Writes until nobody has taken anything for half a second: all queues on the way are full then.
FLOOD = """
    import os, select, signal
    os.set_blocking(1, False)
    room = select.poll()
    room.register(1, select.POLLOUT)
    while room.poll(500):
        try:
            os.write(1, b"x" * 65536)
        except BlockingIOError:
            pass
    with open("full", "wb") as pipe:
        pipe.write(b"x")
    signal.pause()
"""
# The launcher with the times that it gives a guard cut short.
IMPATIENT = (
    "import sys; from ringsync.launch import cli, ranks, supervise; "
    "ranks.REPORT_LIMIT_S = {}; supervise.KILL_LIMIT_S = 0.1; sys.exit(cli.main())"
)


@pytest.fixture
def paused():
    """A pipe whose reader does not read."""
    reader, writer = os.pipe()
    yield writer
    os.close(reader)
    os.close(writer)


def test_a_signal_ends_a_job_whose_reader_has_paused(launcher, paused):
    script = launcher.script(FLOOD)
    path = launcher.directory / "full"
    os.mkfifo(path)
    told = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    options = {"by": ("-c", IMPATIENT.format(0.5)), "stdout": paused, "stderr": subprocess.PIPE}
    running = launcher.start("-np", "1", "--grace-period", "0", script, **options)
    assert is_readable(told, DEADLINE_S)
    os.close(told)
    running.process.send_signal(signal.SIGTERM)
    assert running.finish() == 143
    assert running.members() == set()


def test_a_signal_to_a_job_that_has_only_output_left_does_not_change_its_success(launcher, paused):
    script = launcher.script("import os; os.write(1, b'x' * 1_500_000)")
    options = {"stdout": paused, "stderr": subprocess.PIPE}
    running = launcher.start("-np", "1", "--verbose", script, **options)
    running.expect("exited with code 0")
    running.process.send_signal(signal.SIGHUP)
    assert running.finish() == 0


def test_a_second_signal_of_any_kind_does_not_wait_for_the_grace_period(launcher):
    script = launcher.script(
        """
        import signal
        signal.signal(signal.SIGTERM, lambda *_: print("refused", flush=True))
        print("rank ready", flush=True)
        while True:
            signal.pause()
        """
    )
    running = launcher.start("-np", "2", "--grace-period", "600", script)
    running.expect("rank ready", 2)
    running.process.send_signal(signal.SIGHUP)
    running.expect("refused", 2)
    running.process.send_signal(signal.SIGTERM)
    assert running.finish() == 129


# The one that sleeps does so far longer than the test: it is ended. The other has ended, and its
# guard has told so, before the time is over that the guard of rank 0 is given.
@pytest.mark.parametrize(
    ("then", "code", "limit_s"), [("sys.exit(9)", 9, 3), ("time.sleep(60)", 70, 0.5)]
)
def test_a_guard_that_is_stopped_hides_no_later_end(launcher, then, code, limit_s):
    script = launcher.script(
        f"""
        import os, select, signal, sys, time
        path = os.path.join(os.environ["RINGSYNC_RENDEZVOUS"], "pid")
        if os.environ["RANK"] == "0":
            os.kill(os.getppid(), signal.SIGSTOP)
            with open(path + ".new", "w") as file:
                file.write(str(os.getpid()))
            os.replace(path + ".new", path)
            sys.exit(0)
        while not os.path.exists(path):
            time.sleep(0.01)  # leaves the cores to the other rank
        other = select.poll()
        try:
            other.register(os.pidfd_open(int(open(path).read())), select.POLLIN)
            other.poll()
        except ProcessLookupError:
            pass  # it has ended, and its late guard with it
        {then}
        """
    )
    running = launcher.start("-np", "2", script, by=("-c", IMPATIENT.format(limit_s)))
    assert running.finish() == code
    assert (b"did not report in time" in running.text) is (code == 70)
    assert running.members() == set()


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        ("None if message.kind == 'ended' else message", "ended without a word of how its rank"),
        ("message._replace(descriptor=None)", "no descriptor is left to watch rank 0 with"),
    ],
)
def test_what_no_guard_has_told_in_full_is_no_success(launcher, heard, words):
    deaf = (
        "import sys; from ringsync.launch import cli, ranks; "
        "hear = ranks.Ranks._on_report; "
        f"listen = lambda message: {heard}; "
        "ranks.Ranks._on_report = lambda self, rank, message: "
        "(told := listen(message)) and hear(self, rank, told); "
        "sys.exit(cli.main())"
    )
    done = launcher.run("-np", "1", "sh", "-c", "exit 7", by=("-c", deaf))
    assert done.returncode == 70
    assert words in done.stderr


def test_times_of_months_are_no_error(launcher):
    # epoll itself takes no more than 24.8 days.
    options = ["--dump-stacks-after", "3000000", "--grace-period", "3000000"]
    command = ["sh", "-c", "[ $RANK = 1 ] || sleep 60; exit 3"]  # rank 0, until it is ended
    done = launcher.run("-np", "2", *options, *command)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


@pytest.fixture
def _ignoring():
    """This process as one that ignores SIGTERM, which its children by exec inherit."""
    previous = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, previous)


@pytest.mark.usefixtures("launcher", "_ignoring")
def test_a_caller_that_ignores_sigterm_has_its_limit_of_time_kept():
    with pytest.raises(TimedOutError, match=r"ranks \{0\} of 1 were not done after 1 s"):
        rs.run(signal.pause, np=1, timeout_s=1)


@pytest.mark.usefixtures("_ignoring")
def test_ranks_do_not_outlive_a_killed_caller_that_ignored_sigterm(launcher):
    running = launcher.start(launcher.script(WAITING.format(before="pass", grace_s=0)), by=SCRIPT)
    running.expect("rank ready", 2)
    running.process.kill()
    running.wait_until_gone()


def test_what_dies_and_is_born_again_and_again_is_not_killed_for_ever(monkeypatch):
    numbers = itertools.count(1)
    for name, stand_in in {
        "children_of": lambda: frozenset([next(numbers)]),
        "send_signal": lambda *_: None,
        "reap": lambda _: ProcessEnd(None, signal.SIGKILL),
    }.items():
        monkeypatch.setattr(f"ringsync.launch.descendants.{name}", stand_in)
    sweep = kill_children(time.monotonic() + 0.05)
    assert sweep.left == {len(sweep.ended) + 1}


def test_a_full_table_of_descriptors_keeps_nothing_from_being_killed(monkeypatch):
    def refuse(_):
        raise OSError(errno.EMFILE, "Too many open files")

    with subprocess.Popen(["sleep", "60"]) as child:  # until it is ended
        others = children_of() - {child.pid}
        monkeypatch.setattr(os, "pidfd_open", refuse)
        sweep = kill_children(time.monotonic() + 0.5, others)
        child.returncode = 0  # reaped there
    assert sweep == Sweep({child.pid: ProcessEnd(None, signal.SIGKILL)}, frozenset())
