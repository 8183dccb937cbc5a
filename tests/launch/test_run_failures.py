"""What goes wrong on a rank of `ringsync.run` is raised in the caller, and names that rank."""

import atexit
import os
import select
import signal
import sys
import threading
import traceback
import types
from pathlib import Path

import numpy as np
import pytest

import ringsync as rs
from ringsync.errors import ConfigError, MismatchError, PeerLostError, RingsyncError

SCRIPT = ()


@pytest.fixture(autouse=True)
def _leaves_nothing(launcher):  # noqa: ARG001 - whose temporary directory it is
    yield
    assert list(Path(os.environ["TMPDIR"]).iterdir()) == []


def test_an_exception_comes_with_its_rank_and_its_traceback():
    def fail(rank):
        rs.init()
        if rs.rank() == rank:
            numbers = {}
            numbers["the missing key"]
        rs.barrier()

    with pytest.raises(KeyError, match="the missing key") as caught:
        rs.run(fail, (1,), np=3)
    assert caught.value.__notes__[0].startswith("[run] raised by rank 1 of 3 (pid ")
    text = "".join(traceback.format_exception(caught.value))
    assert text.count('numbers["the missing key"]') == 1
    assert ", in fail\n" in text
    assert "direct cause" in text
    assert "in main" not in text


def test_the_causes_of_an_exception_are_shown():
    def fail():
        try:
            int("seven")
        except ValueError as error:
            raise RuntimeError("no number") from error

    with pytest.raises(RuntimeError, match="no number") as caught:
        rs.run(fail, np=1)
    assert "invalid literal for int() with base 10: 'seven'" in str(caught.value.__cause__)


def test_nothing_but_the_exception_is_said_of_a_failure(capfd):
    with pytest.raises(ZeroDivisionError):
        rs.run(lambda: 1 / 0)
    assert capfd.readouterr() == ("", "")


def test_facts_of_an_exception_come_along():
    def fail():

        rs.init()
        rs.allreduce(np.ones(2 + rs.rank()))

    with pytest.raises(MismatchError, match="rank 1 sent shape"):
        rs.run(fail)


def test_a_rank_that_only_lost_the_guilty_one_is_not_blamed():
    def fail():
        rs.init()
        pids = rs.allgather_object(os.getpid())
        if rs.rank() == 0:
            rs.barrier()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        other = select.poll()
        other.register(os.pidfd_open(pids[0]), select.POLLIN)
        try:
            raise ValueError("the reason")
        finally:
            rs.shutdown()  # rank 0 learns of it, fails, and ends before this rank does
            other.poll()

    with pytest.raises(ValueError, match="the reason") as caught:
        rs.run(fail)
    assert "raised by rank 1 of 2" in caught.value.__notes__[0]


def test_other_ranks_learn_what_ended_the_guilty_one(capsys):
    def fail():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        rs.init()
        rs.barrier()
        if rs.rank() == 1:
            raise ValueError("the reason")
        try:
            rs.barrier()
        except PeerLostError as error:
            print(error.cause)

    with pytest.raises(ValueError, match="the reason"):
        rs.run(fail)
    assert "ValueError: the reason" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("end", "how"),
    [
        ("os.kill(os.getpid(), 9)", r"killed by signal 9 \(SIGKILL\)"),
        ("os.kill(os.getpid(), 11)", r"killed by signal 11 \(SIGSEGV\)"),
        ("sys.exit(3)", "exited with code 3"),
        ("sys.exit()", "exited with code 0"),
        ("os._exit(0)", "exited with code 0"),
    ],
)
def test_a_rank_that_ends_without_returning_is_named_with_its_process_and_how(end, how):
    def leave(statement):
        rs.init()
        if rs.rank() == 1:
            print("last words", file=sys.stderr)
            exec(statement, {"os": os, "sys": sys})
        rs.barrier()
        return 1

    message = rf"^\[run\] rank 1 of 2 \(pid \d+\) {how} before its function returned; .*last words$"
    with pytest.raises(PeerLostError, match=message) as caught:
        rs.run(leave, (end,))
    assert caught.value.rank == 1
    assert str(caught.value.pid) in str(caught.value)


def test_a_rank_that_dies_after_it_returned_is_told_apart():
    def work():
        atexit.register(os.abort)

    with pytest.raises(PeerLostError, match=r"SIGABRT\) after its function returned"):
        rs.run(work, np=1)


def test_what_cannot_be_sent_is_named(capfd):
    lock = threading.Lock()
    for call, part in (
        (lambda: rs.run(lambda: lock), r"the function '.*<lambda>', or what it refers to,"),
        (lambda: rs.run(print, (1, lock)), "argument 2, a lock,"),
        (lambda: rs.run(print, (1,), {"end": lock}), "argument 'end', a lock,"),
    ):
        with pytest.raises(ConfigError, match=rf"^\[run\] {part} cannot be pickled, .*TypeError: "):
            call()
    assert capfd.readouterr() == ("", "")


def test_a_result_that_cannot_be_sent_back_is_named():
    with pytest.raises(ConfigError, match=r"^\[run\] rank 0 of 1 returned a generator, which can"):
        rs.run(lambda: (n for n in range(3)), np=1)


def test_a_result_that_cannot_be_made_here_is_named():
    def work():
        module = types.ModuleType("only_on_ranks")
        exec("class Thing:\n    pass\n", module.__dict__)
        sys.modules["only_on_ranks"] = module
        return module.Thing()

    with pytest.raises(
        ConfigError, match=r"what rank 0 of 1 \(pid \d+\) returned cannot be unpick"
    ):
        rs.run(work, np=1)


def test_an_argument_that_cannot_be_made_on_a_rank_is_named():
    class Picky:
        def __reduce__(self):
            return int, ("no number",)

    with pytest.raises(ConfigError, match="cannot be unpickled on a rank: ValueError: invalid lit"):
        rs.run(print, (Picky(),))


@pytest.mark.parametrize("how", ["holds a lock", "takes two arguments"])
def test_an_exception_that_cannot_be_pickled_is_told_in_another(how):
    def fail(how):
        class OddError(Exception):
            def __init__(self, first, second):
                super().__init__(f"{first}{second}")
                if how == "holds a lock":
                    self.lock = threading.Lock()

        raise OddError("the rea", "son")

    with pytest.raises(
        RingsyncError, match=r"raised OddError: the reason\. The exc.* pickled"
    ) as one:
        rs.run(fail, (how,), np=1)
    assert 'raise OddError("the rea", "son")' in str(one.value.__cause__)


def test_exceptions_of_a_script_are_caught_as_what_they_are(launcher):
    script = launcher.script(
        """
        import ringsync as rs

        class MineError(Exception):
            pass

        def fail():
            raise MineError("mine")

        try:
            rs.run(fail)
        except MineError as error:
            print(error, error.__notes__[0][:20])
        """
    )
    done = launcher.run(script, by=SCRIPT)
    assert (done.stdout, done.stderr) == ("mine [run] raised by rank\n", "")


WAITING = """
    import signal, sys
    import ringsync as rs

    def wait():
        {before}
        print("rank ready", flush=True)
        while True:
            signal.pause()

    rs.run(wait, grace_s={grace_s})
"""


def test_ctrl_c_in_the_caller_ends_the_ranks(launcher):
    script = launcher.script(WAITING.format(before="rs.init()", grace_s=3))
    running, terminal = launcher.start_on_terminal(script, by=SCRIPT)
    running.expect("rank ready", 2)
    os.write(terminal, b"\x03")
    assert running.finish() == -signal.SIGINT
    assert running.text.count(b"Traceback") == 1
    assert running.text.rstrip().endswith(b"KeyboardInterrupt")
    running.wait_until_gone()
    os.close(terminal)


def test_a_second_ctrl_c_does_not_wait_for_the_grace_period(launcher):
    refuse = "signal.signal(signal.SIGINT, lambda *_: print('refused', flush=True))"
    script = launcher.script(WAITING.format(before=refuse, grace_s=600))
    running, terminal = launcher.start_on_terminal(script, by=SCRIPT)
    running.expect("rank ready", 2)
    os.write(terminal, b"\x03")
    running.expect("refused", 2)
    os.write(terminal, b"\x03")
    assert running.finish() == -signal.SIGINT
    running.wait_until_gone()
    os.close(terminal)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_ranks_do_not_outlive_a_caller_that_is_killed(launcher, number):
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    script = launcher.script(WAITING.format(before=stubborn, grace_s=0.2))
    running = launcher.start(script, by=SCRIPT)
    running.expect("rank ready", 2)
    running.process.send_signal(number)
    running.wait_until_gone()


def test_a_launcher_that_is_killed_is_told_and_leaves_no_rank(launcher):
    script = launcher.script(WAITING.format(before="pass", grace_s=3))
    running = launcher.start(script, by=SCRIPT)
    running.expect("rank ready", 2)
    caller = running.process.pid
    for pid in Path(f"/proc/{caller}/task/{caller}/children").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    assert running.finish() == 1
    assert b"[run] the launcher" in running.text
    running.wait_until_gone()
