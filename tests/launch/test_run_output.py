"""What ranks of `ringsync.run` print, where the caller's streams cannot take it."""

import signal

import pytest

import ringsync as rs

SCRIPT = ()

UNREAD = """
    import os, sys
    import ringsync as rs

    def speak():
        rs.init()
        for _ in range(100):
            print("x" * 10_000, flush=True)
        return rs.rank()

    {ruin}
    print(rs.run(speak, np=2), file=open({told!r}, "w"))
    os._exit(0)  # without the interpreter's own words on what it cannot flush
"""


@pytest.mark.parametrize(
    ("ruin", "why"),
    [
        ("reader, sys.stdout = os.pipe(); os.close(reader); sys.stdout = open(sys.stdout, 'w')",
         "Broken pipe"),
        ("sys.stdout = open('/dev/full', 'w')", "No space left on device"),
        ("sys.stdout.close()", "I/O operation on closed file"),
    ],
    ids=["pipe", "disk", "closed"],
)  # fmt: skip
@pytest.mark.parametrize("more", ["", "; sys.stderr = sys.stdout"], ids=["stdout", "both"])
def test_results_come_back_though_what_ranks_print_cannot_be_written(
    launcher, tmp_path, ruin, why, more
):
    told = tmp_path / "told"
    script = launcher.script(UNREAD.format(ruin=ruin + more, told=str(told)))
    done = launcher.run(script, by=SCRIPT)
    assert (done.returncode, told.read_text()) == (0, "[0, 1]\n"), done.stderr
    if more:
        assert done.stderr == ""
    else:
        assert done.stderr.startswith("[run] what the ranks print cannot be written to stdout: ")
        assert f"{why}. The ranks go on" in done.stderr
        assert done.stderr.count("\n") == 1


ASCII = """
    import sys
    import ringsync as rs

    def speak():
        print("snow \u2603, 20 \u20ac", flush=True)
        print("on", flush=True)
        return 7

    sys.stdout.reconfigure(encoding="ascii")
    print(rs.run(speak, np=1))
"""


def test_a_character_that_the_callers_stdout_has_not_is_escaped_and_nothing_is_lost(launcher):
    done = launcher.run(launcher.script(ASCII), by=SCRIPT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["snow \\u2603, 20 \\u20ac", "on", "[7]"]
    assert done.stderr == ""


def test_a_stream_that_raises_what_is_its_own_ends_the_ranks(monkeypatch):
    class Own:
        def write(self, _):
            raise LookupError("no such cell")

        def flush(self):
            pass

    def speak():
        print("hello", flush=True)
        signal.pause()

    monkeypatch.setattr("sys.stdout", Own())
    with pytest.raises(LookupError, match="no such cell"):
        rs.run(speak)
