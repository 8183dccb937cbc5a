"""A rank that is stuck says where, whoever holds the interpreter's lock, and goes on."""

import os
import signal
import sys
from pathlib import Path

import pytest

from ..ranks import until
from . import conftest

# Holds the interpreter's lock inside C: a pattern that backtracks for ages.
STUCK_IN_C = """
    import re
    def match_for_ages():
        print("stuck", flush=True)
        re.match(r"(a+)+$", "a" * 64 + "b")
    match_for_ages()
"""
STUCK_IN_A_THREAD = """
    import threading
    def wait_in_a_thread():
        threading.main_thread().join()  # it is over, and waits for this thread
        print("stuck", flush=True)
        threading.Event().wait()
    threading.Thread(target=wait_in_a_thread).start()
"""

# The launcher, of less patience with ranks that are stopped.
IMPATIENT = (
    "-c",
    "import sys; from ringsync.launch import cli, supervise; "
    "supervise._STOPPED_TOLD_S = 0.2; sys.exit(cli.main())",
)


def end(running):
    running.process.send_signal(signal.SIGTERM)
    assert running.finish() == 143
    assert running.members() == set()


@pytest.mark.parametrize(
    ("body", "function", "last"),
    [
        (STUCK_IN_C, "match_for_ages", "<module>"),
        (STUCK_IN_A_THREAD, "wait_in_a_thread", "_shutdown"),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGQUIT])
def test_every_rank_shows_its_stacks_on_a_signal_and_goes_on(
    launcher, body, function, last, number
):
    running = launcher.start("-np", "2", launcher.script(body))
    running.expect("stuck", 2)
    for count in (1, 2):
        running.process.send_signal(number)
        running.expect(f"in {function}", 2 * count)
        running.expect(f"in {last}", 2 * count)  # whoever still writes does not begin once more
    for rank in "01":
        text = running.text.decode()
        assert f"stacks of rank {rank} (pid " in text
        assert any(
            line.startswith(f"[{rank}] ") and line.endswith(f"in {function}")
            for line in text.splitlines()
        )
    end(running)


def test_stacks_come_by_themselves_after_the_time_asked_for_and_are_kept(launcher):
    script = launcher.script(STUCK_IN_C)
    running = launcher.start("-np", "2", "--dump-stacks-after", "1", "--log-dir", "logs", script)
    running.expect("in match_for_ages", 2)
    end(running)
    for rank in (0, 1):
        log = launcher.directory / f"logs/rank.0{rank}/stderr"
        assert "in match_for_ages" in log.read_text()


def test_a_stopped_rank_says_that_it_is_stopped(launcher):
    script = launcher.script(
        """
        import os, signal, time
        print("pid", os.getpid(), flush=True)
        if os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(60)  # until it is ended
        """
    )
    running = launcher.start("-np", "2", script)
    running.expect("pid ", 2)
    pid = int(running.text.split(b"[1] pid ")[1].split()[0])
    until(lambda: "State:\tT" in Path(f"/proc/{pid}/status").read_text())
    running.process.send_signal(signal.SIGUSR1)
    running.expect(f"rank 1 (pid {pid}) is stopped (SIGSTOP or SIGTSTP)")
    running.expect("most recent call first")
    end(running)


def test_a_program_without_stacks_survives_being_asked(launcher):
    running = launcher.start("-np", "1", "sh", "-c", "echo ready; sleep 60")  # until it is ended
    running.expect("ready")
    running.process.send_signal(signal.SIGUSR1)
    running.expect("shows no stacks (no Python")
    end(running)


def test_python_below_a_shell_shows_its_stacks(launcher):
    script = launcher.script(STUCK_IN_C)
    running = launcher.start("-np", "1", "sh", "-c", f"{sys.executable} {script}; true")
    running.expect("stuck")
    running.process.send_signal(signal.SIGUSR1)
    running.expect("below it follow:")
    running.expect("in match_for_ages")
    end(running)


def test_a_test_that_hangs_shows_the_stacks_of_launcher_guards_and_ranks(launcher, monkeypatch):
    running = launcher.start("-np", "1", launcher.script(STUCK_IN_C))
    running.expect("stuck")
    monkeypatch.setattr(conftest, "DEADLINE_S", 0.1)
    with pytest.raises(AssertionError) as caught:
        running.expect("what never comes")
    for function in ("in match_for_ages", "in _turn", "rank_guard.py"):
        assert function in str(caught.value)


def test_the_users_own_start_up_module_still_runs_and_the_path_is_clean(launcher):
    mine = launcher.directory / "mine"
    mine.mkdir()
    (mine / "sitecustomize.py").write_text("import builtins; builtins.mine = 'ran'")
    script = launcher.script(
        """
        import faulthandler, sys
        print(mine, [entry for entry in sys.path if entry.endswith("startup")])
        """
    )
    done = launcher.run("-np", "1", "-x", f"PYTHONPATH={mine}", script)
    assert (done.returncode, done.stdout) == (0, "ran []\n")


def test_a_stopped_rank_that_no_other_needs_is_told(launcher):
    os.mkfifo(launcher.directory / "pid")
    script = launcher.script(
        """
        import os, signal, time
        from pathlib import Path
        if os.environ["RANK"] == "1":
            Path("pid").write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGSTOP)
            print("goes on")
        else:
            pid = Path("pid").read_text()
            while "State:\\tT" not in Path(f"/proc/{pid}/status").read_text():
                time.sleep(0.01)  # leaves the cores to the others
        """
    )
    running = launcher.start("-np", "2", script, by=IMPATIENT)
    told = "rank 1 of 2 (pid "
    running.expect("while others have ended; kill -CONT lets it go on\n")
    assert b") is stopped (SIGSTOP or SIGTSTP)" in running.text
    os.kill(int(running.text.partition(told.encode())[2].partition(b")")[0]), signal.SIGCONT)
    assert running.finish() == 0
    assert running.text.count(told.encode()) == 1
    assert b"[1] goes on" in running.text
