"""A job ends as a whole: with the first failing rank's code, in time, and without remains."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

STUBBORN_OTHERS = """
    import os, signal, sys, time
    rank = int(os.environ["RINGSYNC_RANK"])
    if rank != 1:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open(f"stubborn.{{rank}}", "w").close()
        time.sleep(60)  # until it is killed
    others = [r for r in range(int(os.environ["WORLD_SIZE"])) if r != 1]
    while not all(os.path.exists(f"stubborn.{{r}}") for r in others):
        time.sleep(0.01)  # leaves the cores to the others
    print("rank 1 gives up", file=sys.stderr)
    {failure}
"""
# A grandchild that left the session and whose parent has gone.
DAEMON = """
    import os, signal, sys, time
    hear, tell = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            print("daemon ready", flush=True)
            os.write(tell, b"!")
            time.sleep(60)  # until it is killed
        os.read(hear, 1)  # the daemon is one, before anybody may end it
        os._exit(0)
    os.wait()
    print("rank ready", flush=True)
    {then}
"""
# Until it is ended; in pieces, because a signal right before a sleep does not shorten it.
# One simple statement, so that it can stand behind a semicolon.
SLEEP = "[time.sleep(0.05) for _ in iter(int, 1)]"


def job_directories() -> list[Path]:
    return list(Path(os.environ["TMPDIR"]).iterdir())


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        ("sys.exit(7)", 7),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 139),
        ("raise ValueError('the reason')", 1),
    ],
)
def test_the_exit_code_is_that_of_the_first_failing_rank(launcher, failure, code):
    script = launcher.script(STUBBORN_OTHERS.format(failure=failure))
    done = launcher.run("-np", "2", "--grace-period", "0.2", script)
    assert done.returncode == code


@pytest.mark.alone
def test_a_rank_that_exits_7_ends_the_job_within_two_seconds_with_all_output_kept(launcher):
    script = launcher.script(
        """
        import os, sys, time
        print("said", os.environ["RANK"], flush=True)
        open(f"said.{os.environ['RANK']}", "w").close()
        while not all(os.path.exists(f"said.{rank}") for rank in range(3)):
            time.sleep(0.01)  # leaves the cores to the others
        if os.environ["RANK"] == "1":
            print("giving up", flush=True)
            sys.exit(7)
        time.sleep(60)  # until it is ended
        """
    )
    running = launcher.start("-np", "3", script)
    running.expect("giving up")
    started_s = time.monotonic()
    assert running.finish() == 7
    assert time.monotonic() - started_s < 2
    assert all(f"[{rank}] said {rank}\n".encode() in running.text for rank in range(3))


def test_success_of_all_ranks_is_zero_and_silent(launcher):
    done = launcher.run("-np", "2", "true")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_early_success_does_not_end_the_others(launcher):
    script = launcher.script(
        """
        import os, time
        if os.environ["RANK"] == "0":
            os.symlink(f"/proc/{os.getppid()}", "guard")
        else:
            # The other rank has ended, and the launcher knows, once its guard has gone.
            while not os.path.islink("guard") or os.path.exists("guard"):
                time.sleep(0.01)  # leaves the cores to the others
            print("late")
        """
    )
    done = launcher.run("-np", "2", script)
    assert (done.returncode, done.stdout) == (0, "[1] late\n")


def test_the_traceback_of_a_failing_rank_is_shown_with_its_rank(launcher):
    script = launcher.script(STUBBORN_OTHERS.format(failure="raise ValueError('the reason')"))
    done = launcher.run("-np", "2", "--grace-period", "0", script)
    assert "[1] Traceback (most recent call last):\n" in done.stderr
    assert "[1] ValueError: the reason\n" in done.stderr


def test_last_words_are_five_lines_that_name_rank_end_and_logs(launcher):
    script = launcher.script(STUBBORN_OTHERS.format(failure="sys.exit(7)"))
    done = launcher.run("-np", "3", "--grace-period", "0", "--log-dir", "logs", script)
    lines = done.stderr.splitlines()[-5:]
    assert all(line.startswith("[ringsyncrun] ") for line in lines)
    assert "rank 1 of 3 failed first" in lines[0]
    assert "others ended: 2" in lines[0]
    assert "pid" in lines[1]
    assert "exited with code 7" in lines[2]
    assert lines[3].endswith("rank 1 gives up")
    assert lines[4].endswith("logs/rank.01/")


@pytest.mark.alone
def test_ranks_that_ignore_sigterm_are_gone_within_five_seconds(launcher):
    script = launcher.script(STUBBORN_OTHERS.format(failure="sys.exit(7)"))
    running = launcher.start("-np", "3", script)
    running.expect("rank 1 gives up")
    started_s = time.monotonic()
    assert running.finish() == 7
    assert time.monotonic() - started_s < 5
    assert running.members() == set()


def test_a_rank_that_fails_because_its_peer_died_does_not_shadow_it(launcher):
    others = [0, 3, 2]  # the last one to hear of rank 1 ends it
    for fifo in ("go", *(f"pid.{rank}" for rank in others)):
        os.mkfifo(launcher.directory / fifo)
    script = launcher.script(
        f"""
        import os, pathlib, select, signal
        rank = int(os.environ["RANK"])
        if rank == 1:
            pathlib.Path("go").read_text()
            for other in {others}:
                pathlib.Path(f"pid.{{other}}").write_text(str(os.getpid()))
            signal.pause()
        pid = int(pathlib.Path(f"pid.{{rank}}").read_text())  # waits until it is written
        poll = select.poll()
        poll.register(os.pidfd_open(pid), select.POLLIN)
        if rank == 2:
            os.kill(pid, signal.SIGKILL)
        poll.poll()
        os._exit(3)
        """
    )
    for _ in range(3):
        running = launcher.start("-np", "4", "--verbose", "--log-dir", "logs", script)
        running.expect(" is pid ", 4)  # only whom the launcher knows it can see die
        (launcher.directory / "go").write_text("")
        assert running.finish() == 137
        assert (
            json.loads((launcher.directory / "logs/summary.json").read_text())["first_failing_rank"]
            == 1
        )


def test_what_a_rank_leaves_running_is_ended_with_the_job(launcher):
    script = launcher.script(DAEMON.format(then="sys.exit(0)"))
    running = launcher.start("-np", "2", "--grace-period", "0.2", script)
    assert running.finish() == 0
    assert running.text.count(b"daemon ready") == 2
    assert running.members() == set()
    assert job_directories() == []


def test_ctrl_c_ends_everything_and_gives_130(launcher):
    script = launcher.script(DAEMON.format(then=SLEEP))
    running, terminal = launcher.start_on_terminal("-np", "2", "--grace-period", "1", script)
    running.expect("rank ready", 2)
    running.expect("daemon ready", 2)
    os.write(terminal, b"\x03")
    assert running.finish() == 130
    assert running.text.count(b"KeyboardInterrupt") == 2
    assert running.members() == set()
    assert job_directories() == []
    os.close(terminal)


def test_a_second_ctrl_c_does_not_wait_for_the_grace_period(launcher):
    script = launcher.script(
        """
        import signal
        def refuse(*_):
            print("refused", flush=True)
        signal.signal(signal.SIGINT, refuse)
        print("rank ready", flush=True)
        while True:
            signal.pause()
        """
    )
    running, terminal = launcher.start_on_terminal("-np", "2", "--grace-period", "600", script)
    running.expect("rank ready", 2)
    os.write(terminal, b"\x03")
    running.expect("refused", 2)
    os.write(terminal, b"\x03")
    assert running.finish() == 130
    assert running.members() == set()
    os.close(terminal)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_to_the_launcher_reaches_the_ranks_as_sigterm(launcher, number, code):
    script = launcher.script(
        """
        import signal, sys
        def leave(*_):
            print("asked to end", flush=True)
            sys.exit(0)
        signal.signal(signal.SIGTERM, leave)
        print("rank ready", flush=True)
        signal.pause()
        """
    )
    running = launcher.start("-np", "2", script)
    running.expect("rank ready", 2)
    running.process.send_signal(number)
    assert running.finish() == code
    assert running.text.count(b"asked to end") == 2


def test_nohup_survives_the_terminal(launcher):
    gate = launcher.directory / "gate"
    os.mkfifo(gate)  # nobody comes through while it has no writer
    script = launcher.script("print('rank ready', flush=True); open('gate').close()")
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        running = launcher.start("-np", "2", script)
    finally:
        signal.signal(signal.SIGHUP, previous)
    running.expect("rank ready", 2)
    running.process.send_signal(signal.SIGHUP)
    with gate.open("r+b", buffering=0):
        assert running.finish() == 0


@pytest.mark.parametrize("ended", [0, 2])
@pytest.mark.parametrize("when", ["", "[os.sched_yield() for _ in iter(is_nobody_there, False)]"])
def test_ranks_that_wait_in_init_for_one_that_has_ended_are_told_at_once(launcher, ended, when):
    # Rank 0 serves the store, so without it nobody is there to be waited for.
    script = launcher.script(
        f"""
        import os, pathlib, sys
        import ringsync as rs
        place = pathlib.Path(os.environ["RINGSYNC_RENDEZVOUS"])
        is_nobody_there = lambda: {ended} != 0 and not (place / "store").exists()
        if os.environ["RANK"] == "{ended}":
            {when}
            sys.exit()
        rs.init()
        """
    )
    done = launcher.run("-np", "3", script)  # its deadline is shorter than the start timeout
    assert done.returncode == 75
    words = f"[rendezvous] rank {ended} of 3 ended with code 0 before it met the others in init."
    assert f"RendezvousError: {words}" in done.stderr.partition("  how: ")[2]
    assert job_directories() == []


def test_a_stopped_rank_is_ended_too(launcher):
    script = launcher.script(
        """
        import os, signal, sys
        if os.environ["RANK"] == "0":
            os.kill(os.getpid(), signal.SIGSTOP)
        sys.exit(5)
        """
    )
    running = launcher.start("-np", "2", "--grace-period", "600", script)
    assert running.finish() == 5


def test_a_reader_that_leaves_ends_the_job(launcher):
    script = launcher.script("while True: print('x' * 1000)")
    running = launcher.start("-np", "2", script)
    running.expect("x" * 1000)
    running.process.stdout.close()
    assert running.process.wait(timeout=10) == 141
    assert running.members() == set()
