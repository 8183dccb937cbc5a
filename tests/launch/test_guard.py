"""Every rank has a guard: whoever dies, and however, nothing of the job is left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ringsync as rs
import ringsync.launch
from ringsync.errors import RingsyncError
from ringsync.launch import descendants

from .conftest import AS_A_COMMAND, children
from .test_exit import DAEMON, SLEEP, job_directories

GUARD = Path(ringsync.launch.__file__).with_name("rank_guard.py")


def start_with_daemons(launcher, *options):
    running = launcher.start("-np", "2", *options, launcher.script(DAEMON.format(then=SLEEP)))
    running.expect("rank ready", 2)
    running.expect("daemon ready", 2)
    return running


def test_kill_9_of_the_launcher_leaves_no_process_and_no_directory_and_takes_no_grace(launcher):
    running = start_with_daemons(launcher, "--grace-period", "600")
    assert len(running.members()) == 7  # launcher, two guards, ranks and daemons
    running.process.kill()
    running.wait_until_gone()
    assert job_directories() == []


def test_kill_9_of_a_guard_ends_its_rank_and_the_job(launcher):
    running = start_with_daemons(launcher)
    guard = children(running.process.pid)[1]
    os.kill(guard, signal.SIGKILL)
    assert running.finish() == 137
    assert running.members() == set()
    assert job_directories() == []
    words = f"guard lost (the guard of rank 1 (pid {guard}) killed by signal 9 (SIGKILL))"
    assert words in running.text.decode()


@pytest.mark.usefixtures("launcher")
def test_run_names_a_guard_that_is_killed_and_not_the_launcher():
    def end_the_guard():
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()

    words = r"^\[run\] the guard of rank 0 \(pid \d+\) killed by signal 9 \(SIGKILL\); all ranks"
    with pytest.raises(RingsyncError, match=words):
        rs.run(end_the_guard, np=1)


def test_kill_9_of_all_guards_ends_everything(launcher):
    running = start_with_daemons(launcher)
    guards = children(running.process.pid)
    running.process.send_signal(signal.SIGSTOP)  # so that it finds them all dead at once
    for guard in guards:
        os.kill(guard, signal.SIGKILL)
    running.process.send_signal(signal.SIGCONT)
    assert running.finish() == 137
    assert running.members() == set()
    assert b"guard lost" in running.text


def test_kill_9_of_launcher_and_guards_still_ends_the_ranks(launcher):
    script = launcher.script(f"import time; print('rank ready', flush=True); {SLEEP}")
    running = launcher.start("-np", "2", script)
    running.expect("rank ready", 2)
    guards = children(running.process.pid)
    for pid in (running.process.pid, *guards):
        os.kill(pid, signal.SIGSTOP)
    for pid in (running.process.pid, *guards):
        os.kill(pid, signal.SIGKILL)
    running.wait_until_gone()


def test_a_stopped_guard_does_not_keep_the_job_from_ending(launcher):
    running = start_with_daemons(launcher, "--grace-period", "0.2")
    os.kill(children(running.process.pid)[0], signal.SIGSTOP)
    running.process.send_signal(signal.SIGTERM)
    assert running.finish() == 143
    assert running.members() == set()


def test_what_one_rank_leaves_running_ends_with_it_while_the_others_go_on(launcher):
    script = launcher.script(
        """
        import os, select, sys, time
        if os.environ["RANK"] == "0":
            daemon = os.fork()
            if daemon == 0:
                os.setsid()
                time.sleep(60)  # until it is ended
            with open("daemon.new", "w") as file:
                file.write(str(daemon))
            os.replace("daemon.new", "daemon")
            sys.exit(0)
        while not os.path.exists("daemon"):
            time.sleep(0.01)  # leaves the cores to the other rank
        daemon = int(open("daemon").read())
        while os.path.exists(f"/proc/{daemon}"):
            time.sleep(0.01)  # until the guard of rank 0 has ended it
        print("the daemon has ended and I go on")
        """
    )
    done = launcher.run("-np", "2", script)
    assert (done.returncode, done.stdout) == (0, "[1] the daemon has ended and I go on\n")


@pytest.mark.parametrize(
    ("code", "status"), [("exit 7", 7), ("kill -9 $$", 137), ("exit 0", 0), ("nonsense", 127)]
)
def test_a_guard_needs_no_launcher(code, status):
    # As mpirun or srun would start it: by path, or as a module.
    for program in ([str(GUARD)], ["-m", "ringsync.launch.rank_guard"]):
        done = subprocess.run(
            [sys.executable, *program, "--rank=3", "--", "sh", "-c", f"echo a; {code}"],
            capture_output=True,
            timeout=20,
            check=False,
        )
        assert (done.returncode, done.stdout) == (status, b"[3] a\n")


def test_a_guard_ends_its_rank_when_a_launcher_of_another_kind_dies(launcher):
    # The rank sleeps until it is ended.
    shell = f"{sys.executable} {GUARD} -- sh -c 'echo ready; sleep 60' & wait"
    running = launcher.start("sh", "-c", shell, by=("-c", AS_A_COMMAND))
    running.expect("ready")
    running.process.kill()
    running.wait_until_gone()


# A guard that sees less of the system than usual.
BARE = """
import builtins, os, sys, types
sys.modules["ringsync"] = types.ModuleType("ringsync")  # in its root's place, as in rank_guard.py
sys.modules["ringsync"].__path__ = [{root!r}]
from ringsync.launch import descendants, guard

def open_but_lists(path):
    if path.endswith("/children"):
        raise FileNotFoundError(path)
    return builtins.open(path)

{before}
os._exit(guard.main(["--output=raw", "--grace-s=0.1", "--", *sys.argv[1:]]))
"""
NO_LISTS = (
    "descendants.open = open_but_lists; descendants.has_lists_of_children.cache_clear(); "
    "descendants.os.path.exists = lambda path: False"
)
# As in a new pid namespace with the /proc of the old one.
ALIEN_PROC = "descendants.os.readlink = lambda path: '1'"
NO_CHILDREN = "guard.children_of = descendants.children_of = lambda pid=None: frozenset()"
# Asked for the first time, as a process is whose parent is outside its pid namespace.
NO_PARENT = "first, ask = [0], os.getppid; os.getppid = lambda: first.pop() if first else ask()"


def run_bare(before, *command):
    return subprocess.run(
        [sys.executable, "-c", BARE.format(before=before, root=str(GUARD.parents[1])), *command],
        capture_output=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize(
    "before",
    [NO_CHILDREN, NO_LISTS, ALIEN_PROC, NO_PARENT],
    ids=["children", "lists", "proc", "parent"],
)
def test_a_guard_sees_the_end_of_its_rank_whatever_it_cannot_see(before):
    done = run_bare(before, "sh", "-c", "exit 7")
    assert (done.returncode, done.stderr) == (7, b"")


def test_without_lists_of_children_a_rank_and_what_it_leaves_are_found_all_the_same():
    # What it leaves sleeps until it is ended.
    done = run_bare(NO_LISTS, "sh", "-c", "setsid sleep 60 & echo $!; exit 7")
    assert done.returncode == 7
    assert not Path(f"/proc/{int(done.stdout)}").exists()


def test_a_search_for_children_finds_what_the_lists_say():
    with subprocess.Popen(["sleep", "60"]) as child:  # until it is ended
        found = descendants._children_by_search(os.getpid())
        assert child.pid in found
        assert found == descendants.children_of()
        child.kill()


def test_a_guard_without_a_launcher_says_what_it_says_in_its_own_name(tmp_path):
    run = [sys.executable, str(GUARD), "--rank=3", f"--logs={tmp_path}", "--", "/no/such/program"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 126
    assert done.stderr.startswith("[rank_guard] rank 3 could not start '/no/such/program': [Errno")
    script = "import os, signal; os.kill(os.getppid(), signal.SIGUSR1); signal.pause()"
    with subprocess.Popen(
        [*run[:2], "--grace-s=0.1", "--", sys.executable, "-S", "-c", script],
        stderr=subprocess.PIPE,
    ) as guard:
        said = guard.stderr.readline()
        guard.terminate()
    assert said.startswith(b"[rank_guard] rank 0 (pid ")


def test_a_guard_says_how_it_is_used():
    for words in (["sh"], ["--nonsense=1", "--", "sh"], ["--rank=x", "--", "sh"]):
        done = subprocess.run(
            [sys.executable, str(GUARD), *words], capture_output=True, timeout=20, check=False
        )
        assert done.returncode == 2
        assert b"usage: rank_guard.py" in done.stderr


def test_no_variable_and_no_secret_is_on_a_command_line(launcher):
    script = launcher.script(f"import time; print('rank ready', flush=True); {SLEEP}")
    running = launcher.start("-np", "2", "--verbose", "-x", "SECRET_TOKEN", script)
    running.expect("rank ready", 2)
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in running.members()]
    environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in running.members()]
    assert all(b"SECRET_TOKEN=s3cret" in environment for environment in environments)
    assert len(lines) == 5
    assert not any(b"s3cret" in line for line in lines)
    running.process.send_signal(signal.SIGTERM)
    assert running.finish() == 143
    assert b"s3cret" not in running.text


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
