"""`ringsync.run`: a function goes to the ranks as it is, and what each returned comes back."""

import io
import json
import linecache
import os
import select
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

import ringsync as rs
from ringsync.errors import ConfigError, TimedOutError
from ringsync.jobs.pickling import Call, write_call

SCRIPT = ()  # the program is a script, not the launcher


def open_descriptors():
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.fixture(autouse=True)
def _leaves_nothing(launcher):  # noqa: ARG001 - whose temporary directory it is
    before = open_descriptors()
    yield
    assert list(Path(os.environ["TMPDIR"]).iterdir()) == []
    # The collector may close an earlier test's meanwhile; what counts is that none is new.
    assert not open_descriptors() - before


def test_results_come_by_rank():
    def place(a, b=0):
        rs.init()
        return rs.rank(), rs.size(), rs.local_rank(), a + b

    assert rs.run(place, args=(1,), kwargs={"b": 2}, np=3) == [
        (rank, 3, rank, 3) for rank in range(3)
    ]


def test_two_ranks_are_the_default_and_one_is_possible():
    assert rs.run(lambda: 7) == [7, 7]
    assert rs.run(lambda: 7, np=1) == [7]


def test_the_ranks_meet_and_reduce():
    def total(values):
        rs.init()
        return rs.allreduce(values * (rs.rank() + 1), op=rs.Sum)

    values = np.arange(1000.0)
    for result in rs.run(total, (values,), np=3):
        np.testing.assert_array_equal(result, 6 * values)


def test_closures_see_what_they_saw_and_change_it_for_themselves_only():
    seen = [1, 2]

    def extend(word):
        seen.append(word)
        return seen

    assert rs.run(extend, ("x",)) == [[1, 2, "x"]] * 2
    assert seen == [1, 2]


def test_large_arrays_go_and_come_whole():
    values = np.arange(2**23, dtype=np.float64)  # 64 MiB
    first, second = rs.run(lambda x: x[::-1].copy(), (values,))
    assert np.array_equal(first, values[::-1])
    assert np.array_equal(first, second)


def test_what_the_function_starts_inherits_none_of_its_channels():
    def look():
        done = subprocess.run(
            ["ls", "-l", "/proc/self/fd"],
            close_fds=False,
            capture_output=True,
            text=True,
            check=True,
        )
        return "memfd" in done.stdout, str(Path("/proc/self/fd/0").readlink())

    assert rs.run(look) == [(False, "/dev/null")] * 2


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_streams_that_are_closed_take_no_call_with_them(launcher, closed):
    script = launcher.script(
        """
        import pathlib, ringsync
        pathlib.Path("found").write_text(str(ringsync.run(lambda: 7, np=2, timeout_s=20)))
        """
    )
    begin = f"import os, sys; [os.close(number) for number in {closed}]; "
    begin += f"os.execv(sys.executable, [sys.executable, {script!r}])"
    assert launcher.run(begin, by=("-c",)).returncode == 0
    assert (launcher.directory / "found").read_text() == "[7, 7]"


def test_whoever_calls_from_a_thread_gets_the_same():
    found = []
    thread = threading.Thread(target=lambda: found.extend(rs.run(lambda: 5)))
    thread.start()
    thread.join()
    assert found == [5, 5]


def test_what_ranks_print_comes_out_here_marked_with_their_rank(capsys):
    def speak():
        print("so it is: \N{SNOWMAN}")
        print("beware", file=sys.stderr)

    rs.run(speak)
    out, err = capsys.readouterr()
    assert sorted(out.splitlines()) == [f"[{rank}] so it is: \N{SNOWMAN}" for rank in range(2)]
    assert sorted(err.splitlines()) == ["[0] beware", "[1] beware"]
    rs.run(speak, tag_output=False, np=1)
    assert capsys.readouterr() == ("so it is: \N{SNOWMAN}\n", "beware\n")


def test_variables_are_those_of_the_caller_and_those_asked_for(monkeypatch):
    monkeypatch.setenv("OF_THE_CALLER", "a")

    def look():
        return os.environ.get("OF_THE_CALLER"), os.environ.get("ASKED_FOR")

    assert rs.run(look, env={"ASKED_FOR": "b=c"}) == [("a", "b=c")] * 2


def test_logs_and_their_summary_are_kept_where_asked(tmp_path):
    rs.run(lambda: print("kept"), log_dir=tmp_path / "logs")
    assert (tmp_path / "logs/rank.01/stdout").read_text() == "kept\n"
    assert json.loads((tmp_path / "logs/summary.json").read_text())["cause"] == "success"


def test_a_timeline_is_recorded_and_merged(tmp_path, capsys):
    def work():
        rs.init()
        rs.allreduce(np.ones(10), name="mine")

    rs.run(work, timeline=tmp_path / "trace")
    assert "mine" in (tmp_path / "trace/timeline.json").read_text()
    assert "timeline of 2 ranks" in capsys.readouterr().err


def test_time_that_is_over_ends_the_ranks_and_names_those_not_done(monkeypatch):
    class Clock:
        """Makes a leap at a word of a rank, however long the ranks take to start."""

        leap_s = 0.0

        def monotonic(self):
            return time.monotonic() + self.leap_s

        def write(self, text):
            if "rank 0 is done" in text:
                self.leap_s = 1e9

        def flush(self):
            pass

    def wait():
        rs.init()
        pids = rs.allgather_object(os.getpid())
        if rs.rank() == 1:
            other = select.poll()
            other.register(os.pidfd_open(pids[0]), select.POLLIN)
        rs.barrier()
        if rs.rank() == 1:
            other.poll()
            while True:  # the caller looks at its clock at every word
                print("rank 0 is done", flush=True)

    clock = Clock()
    monkeypatch.setattr("ringsync.jobs.launcher.time", clock)
    monkeypatch.setattr("sys.stdout", clock)
    # 100 days: more than epoll takes at once.
    with pytest.raises(
        TimedOutError, match=r"ranks \{1\} of 2 were not done after 8\.64e"
    ) as caught:
        rs.run(wait, timeout_s=8.64e6)
    assert caught.value.missing == (1,)


def test_a_run_within_a_rank_has_ranks_of_its_own():
    def outer():
        rs.init()
        return rs.rank(), rs.run(lambda: 3, np=2)

    assert rs.run(outer, np=1) == [(0, [3, 3])]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((5,), {}, r"fn=5 cannot be called"),
        ((print, 5), {}, r"args=5 is no list of arguments. Write args=\(5,\)"),
        ((print, "ab"), {}, r"args='ab' is no list"),
        ((print, (), 5), {}, r"kwargs=5 is no dictionary"),
        ((print, (), {1: 2}), {}, r"kwargs=\{1: 2\} is no dictionary"),
        ((print, (), None, 0), {}, r"np=0 is no number of ranks; a whole number in 1\.\.4096"),
        ((print, (), None, 2.0), {}, r"np=2.0 is no number of ranks"),
        ((print, (), None, True), {}, r"np=True is no number of ranks"),
        ((print, (), None, "2"), {}, r"np='2' is no number of ranks"),
        ((print, (), None, 4097), {}, r"np=4097 is no number"),
        ((print,), {"timelime": "x"}, r"no option 'timelime'. Write timeline."),
        ((print,), {"hosts": "x"}, r"no option 'hosts'. Options are timeline, log_dir,"),
        ((print,), {"timeline": 5}, r"timeline=5 is no path"),
        ((print,), {"log_dir": ""}, r"log_dir='' is no path"),
        ((print,), {"log_dir": "/proc/x"}, r"log_dir /proc/x is not a directory that can"),
        ((print,), {"timeline": "/dev/null"}, r"timeline /dev/null is not a directory"),
        ((print,), {"env": ["A=hf_secret"]}, r"env is a list, no dictionary"),
        ((print,), {"env": {"A": b"hf_secret"}}, r"env: 'A' is given bytes; plain text"),
        ((print,), {"env": {"A": "hf_secret\0"}}, r"env: 'A' is given text with a zero byte"),
        ((print,), {"env": {"HF-A": "hf_secret"}}, r"env: 'HF-A' is no variable's name"),
        ((print,), {"env": {"1A=hf_secret": ""}}, r"env: '1A' is no variable's name"),
        ((print,), {"env": {5: "hf_secret"}}, r"env: int is no variable's name"),
        ((print,), {"env": {"RANK": "1"}}, r"env: RANK is set by a launcher alone"),
        ((print,), {"timeout_s": 0}, r"timeout_s=0 leaves no time"),
        ((print,), {"timeout_s": "3"}, r"timeout_s='3' is not a number of seconds"),
        ((print,), {"timeout_s": 10**400}, r"timeout_s=10+\.\.\. is not a number of seconds"),
        ((print,), {"grace_s": float("nan")}, r"grace_s=nan is not a number of seconds"),
        ((print,), {"start_timeout_s": -1}, r"start_timeout_s=-1 is not a number"),
        ((print,), {"verbose": 1}, r"verbose=1 is neither True nor False"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, options, message, capfd):
    with pytest.raises(ConfigError, match=r"^\[run\] .*?" + message) as caught:
        rs.run(*arguments, **options)
    assert "hf_secret" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_script_sends_its_own_functions_classes_and_modules(launcher):
    (launcher.directory / "beside.py").write_text("def triple(x):\n    return 3 * x\n")
    script = launcher.script(
        """
        import sys
        from dataclasses import dataclass
        import ringsync as rs

        @dataclass
        class Point:
            x: int

        def move(point, by):
            import beside
            rs.init()
            return Point(beside.triple(point.x) + by(rs.rank())), sys.argv[1:]

        results = rs.run(move, (Point(2), lambda rank: 10 * rank), np=2)
        assert results == [(Point(6), ["word"]), (Point(16), ["word"])], results
        assert all(type(point) is Point for point, _ in results)
        print("right")
        """
    )
    done = launcher.run(script, "word", by=SCRIPT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "right\n", "")


def test_a_cell_whose_name_no_file_could_have_goes_along(monkeypatch):
    name = "<cell " + 300 * "x" + ">"
    lines = ["def fail():\n", "    return 1 / 0\n"]
    monkeypatch.setitem(linecache.cache, name, (40, None, lines, name))
    file = io.BytesIO()
    write_call(Call(print, (), {}), file)
    assert json.loads(file.getvalue().partition(b"\n")[0])["sources"][name] == lines


def test_modules_are_found_where_the_caller_finds_them(tmp_path, monkeypatch):
    name = f"m{uuid.uuid4().hex}"
    (tmp_path / f"{name}.py").write_text("def answer():\n    return 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    answer = __import__(name).answer
    assert rs.run(answer) == [42, 42]
