"""What cannot run is refused in one line, with exit code 2, before anything starts."""

import os
import socket
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ringsync.errors import ConfigError
from ringsync.launch import cli
from ringsync.launch.arguments import split_command
from ringsync.launch.command import resolve_command
from ringsync.launch.hosts import Host, parse_hosts
from ringsync.launch.placement import physical_core_count, threads_per_rank

from .conftest import AS_A_COMMAND


def refusal(done, code: int = 2) -> str:
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith("[ringsyncrun] ")
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.fixture
def called(launcher, monkeypatch, capfd):
    """Calls the launcher in this process, for words with which no rank starts."""
    monkeypatch.chdir(launcher.directory)
    # It would have pytest itself answer a signal with its stacks, also in all later tests.
    monkeypatch.setattr(cli, "show_stacks_when_asked", lambda: None)

    def call(*words):
        code = cli.main(words)
        return CompletedProcess(words, code, *capfd.readouterr())

    return call


@pytest.mark.parametrize("np", ["0", "-1", "abc", "1.5", "", "²", "99999"])
def test_an_impossible_number_of_ranks_is_refused(launcher, np):
    assert "argument -np/-n/--num-proc: " in refusal(launcher.run("-np", np, "true"))


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["-np", "2"], "there is no command to run"),
        (["true"], "the number of ranks is missing"),
        (["-np"], "expected one argument"),
        (["-np", "2", "--unknown", "true"], "unrecognized arguments: --unknown"),
        (["-np", "2", "--tag", "true"], "unrecognized arguments: --tag"),
        (["-np", "2", "-c", "print(1)"], "unrecognized arguments: -c"),
        (["-np2", "true"], "unrecognized arguments: -np2. The number of ranks is written -np 2."),
        (
            ["--np", "2", "true"],
            "unrecognized arguments: --np. The number of ranks is written -np N.",
        ),
        (
            ["--np=2", "true"],
            "unrecognized arguments: --np=2. The number of ranks is written -np 2.",
        ),
        (["-np", "2", "--log-dir=", "true"], "--log-dir: '' is no directory"),
        (["-np", "2", "--timeline", "", "true"], "--timeline: '' is no directory"),
        (["-np", "2", "missing.py"], "script 'missing.py' does not exist"),
        (["-np", "2", "python", "missing.py"], "script 'missing.py' does not exist"),
        (["-np", "2", "folder.py"], "'folder.py' is a directory"),
        (["-np", "2", "folder"], "'folder' is a directory"),
        (["-np", "2", ""], "the program's name is empty"),
        (["-np", "2", "no-such-program"], "program 'no-such-program' is not on PATH"),
        (["-np", "2", "./no-such-program"], "program './no-such-program' does not exist"),
        (["-np", "2", "./plain"], "'./plain' is not executable"),
        (["-np", "2", "plain"], "Write ./plain"),
        (["-np", "2", "-m"], "-m needs a module name"),
        (["-np", "2", "-x", "1A=hf_secret", "true"], "-x '1A' is no variable's name"),
        (["-np", "2", "-x", "=hf_secret", "true"], "-x '' is no variable's name"),
        (["-np", "2", "-x", "NOT_SET_ANYWHERE", "true"], "the variable is not set here"),
        (["-np", "2", "-x", "RANK=1", "true"], "only a launcher sets that"),
        (["-np", "2", "-H", "localhost:1,127.0.0.1:1", "true"], "lists this host 2 times"),
        (["-np", "2", "-H", "localhost:0", "true"], "not host:slots"),
        (["-np", "3", "-H", "localhost:2", "true"], "-np 3 is more than the 2 slots"),
        (["-np", "2", "--grace-period", "nan", "true"], "not a number of seconds"),
        (["-np", "2", "--dump-stacks-after", "soon", "true"], "not a number of seconds"),
        (["-np", "2", "--start-timeout", "0", "true"], "--start-timeout: '0' leaves no time"),
    ],
)
def test_bad_input_is_one_clear_line(launcher, called, words, part):
    (launcher.directory / "folder").mkdir()
    (launcher.directory / "folder.py").mkdir()
    (launcher.directory / "plain").write_text("")
    said = refusal(called(*words))
    assert part in said
    assert "hf_secret" not in said


def test_another_host_is_unavailable_so_far(called):
    done = called("-np", "2", "-H", "far:2", "true")
    assert done.returncode == 69
    assert "-H names far, and only this host" in done.stderr
    assert "Write -H localhost:2, or leave" in done.stderr


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--timeline", "plain", "true"], "plain is not a directory"),
        (["--log-dir", "/proc/x", "true"], "--log-dir /proc/x is not a directory"),
        (["-x", "OMP_NUM_THREADS=1", "./program"], "could not start './program'"),
    ],
)
def test_what_cannot_be_set_up_is_refused_with_78(launcher, words, part):
    (launcher.directory / "plain").write_text("")
    program = launcher.directory / "program"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    assert part in refusal(launcher.run("-np", "2", *words), 78)


def test_more_ranks_than_there_is_room_for_are_refused_with_78(launcher):
    # Ranks that do start sleep until they are ended.
    inner = f"ulimit -n 38; exec {sys.executable} -m ringsync.launch -np 9 sleep 60"
    running = launcher.start("sh", "-c", inner, by=("-c", AS_A_COMMAND))
    assert running.finish() == 78
    assert b"9 ranks need 5" in running.text
    assert b" open files in the launcher, and 38 are permitted. Lower -np" in running.text
    assert running.members() == set()


def test_a_soft_limit_of_open_files_is_raised_for_the_launcher_and_kept_for_the_ranks(launcher):
    inner = f"ulimit -Sn 38; exec {sys.executable} -m ringsync.launch -np 9 sh -c 'ulimit -n'"
    done = launcher.run("sh", "-c", inner, by=("-c", AS_A_COMMAND))
    assert done.returncode == 0
    assert sorted(done.stdout.splitlines()) == [f"[{rank}] 38" for rank in range(9)]


def test_an_error_of_the_launcher_itself_is_told_in_full_with_70(launcher):
    broken = (
        "import sys; from ringsync.launch import cli, running; "
        "running.supervise = None; "
        "sys.exit(cli.main(['-np', '1', 'true']))"
    )
    running = launcher.start(by=("-c", broken))
    assert running.finish() == 70
    assert b"TypeError" in running.text
    assert list(Path(os.environ["TMPDIR"]).iterdir()) == []


def test_version_and_help_are_answered(launcher):
    assert launcher.run("--version").stdout.startswith("ringsyncrun ")
    assert "-np" in launcher.run("--help").stdout


@pytest.mark.parametrize(
    "form", [["-n", "2"], ["--num-proc", "2"], ["-np=2"], ["-H", "localhost:2"]]
)
def test_the_number_of_ranks_has_several_spellings(launcher, form):
    done = launcher.run(*form, "--", "sh", "-c", "echo $RINGSYNC_SIZE")
    assert sorted(done.stdout.splitlines()) == ["[0] 2", "[1] 2"]


def test_auto_means_physical_cores(launcher):
    done = launcher.run("-np", "auto", "--no-tag-output", "sh", "-c", "echo $RINGSYNC_SIZE")
    assert set(done.stdout.split()) == {str(physical_core_count())}


def test_threads_of_one_core_count_once(tmp_path):
    for number in os.sched_getaffinity(0):
        facts = tmp_path / f"cpu{number}/topology"
        facts.mkdir(parents=True)
        (facts / "physical_package_id").write_text("0\n")
        (facts / "core_id").write_text("0\n")
    assert physical_core_count(tmp_path) == 1
    assert physical_core_count(tmp_path / "none") == len(os.sched_getaffinity(0))


def test_more_ranks_than_cores_run_and_are_told_so(launcher):
    size = len(os.sched_getaffinity(0)) + 1
    done = launcher.run("-np", str(size), "true")
    assert done.returncode == 0
    assert f"{size} ranks share {size - 1} cores" in done.stderr


@pytest.mark.parametrize(
    ("words", "options", "command"),
    [
        (["-np", "2", "x.py", "--verbose"], ["-np", "2"], ["x.py", "--verbose"]),
        (["--verbose", "-m", "mod", "-np", "3"], ["--verbose"], ["-m", "mod", "-np", "3"]),
        (["-x", "A=1", "--", "-odd"], ["-x", "A=1"], ["-odd"]),
        (["--timeline=d", "prog"], ["--timeline=d"], ["prog"]),
        (["-np", "2"], ["-np", "2"], []),
    ],
)
def test_the_command_keeps_its_own_options(words, options, command):
    assert split_command(words) == (options, tuple(command))


def test_python_is_that_of_the_path_or_else_this_one(tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert resolve_command(["python", "-V"], str(tmp_path)) == (str(program), "-V")
    assert resolve_command(["python3", "-V"], str(tmp_path)) == (sys.executable, "-V")
    script = tmp_path / "x.py"
    script.write_text("")
    assert resolve_command([str(script), "a"], "") == (sys.executable, str(script), "a")
    assert resolve_command(["-m", "json.tool"], "") == (sys.executable, "-m", "json.tool")


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("localhost", Host("localhost", 1)),
        ("127.0.0.1:4", Host("127.0.0.1", 4)),
        ("::1", Host("::1", 1)),
        ("[::1]:3", Host("::1", 3)),
        (f"{socket.gethostname()}:2", Host(socket.gethostname(), 2)),
    ],
)
def test_every_name_of_this_host_is_known(text, host):
    assert parse_hosts(text) == (host,)


@pytest.mark.parametrize("text", ["", ",", ":2", "localhost:", "localhost:-1", "a:b:c", "[::1]x"])
def test_a_malformed_host_is_refused(text):
    with pytest.raises(ConfigError, match="host:slots"):
        parse_hosts(text)


def test_every_rank_keeps_at_least_one_thread():
    assert [threads_per_rank(8, size) for size in (1, 2, 3, 8, 9)] == [8, 4, 2, 1, 1]
