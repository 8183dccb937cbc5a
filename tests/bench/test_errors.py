"""What goes wrong in a bench is said once, has the right exit code, and leaves nothing behind."""

import signal
import sys
from importlib import import_module

import pytest

from bench.command import run_command


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("bench.allreduce", "--np", "0"), "--np: '0' is not a whole number from 1"),
        (("bench.latency", "--np", "0"), "--np: '0' is not a whole number from 1"),
        (("bench.overlap", "--np", "two"), "--np: 'two' is not a whole number from 1"),
        (("bench.allreduce", "--sizes", "4,12parsecs"), "'12parsecs' is no size"),
        (("bench.latency", "--sizes", "1KB"), "'1KB' is no size"),
        (("bench.allreduce", "--sizes", "6"), "6 bytes are no float32 array"),
        (("bench.allreduce", "--memory", "lost"), "invalid choice: 'lost'"),
        (("bench.latency", "--idle", "--seconds", "-1"), "'-1' is not a number above 0"),
        (("bench.overlap", "--np", "2", "--batch", "1"), "--batch 1 does not feed 2 ranks"),
        (("bench.overlap", "--peers", "ddp,lost"), "invalid choice: 'lost'"),
        (("bench.overlap", "--peers", "ddp", "--batch", "1"), "--batch 1 does not feed 2 ranks"),
        (
            ("bench.overlap", "--peers", "ddp", "--bucket-mib", "8"),
            "--bucket-mib is not for --peers",
        ),
        (("bench.allreduce", "--json", "/nowhere/at/all.json"), "cannot be written"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_and_exit_code_2(
    monkeypatch, capfd, words, message
):
    # In this process: no rank starts, and to load NumPy takes longer than all else here.
    monkeypatch.setattr(sys, "argv", list(words))
    with pytest.raises(SystemExit) as ended:
        run_command(import_module(words[0]).measure)
    out, err = capfd.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err.startswith(f"[{words[0]}] ")
    assert message in err
    assert err.count("\n") == 1


def test_a_failing_rank_fails_the_bench(benches):
    done = benches.run("bench.allreduce", "--np", "2", RINGSYNC_TIMEOUT_S="soon")
    assert done.returncode == 78
    assert "RINGSYNC_TIMEOUT_S='soon' is not a finite number" in done.stderr
    assert done.stdout == ""
    assert benches.leftovers() == []


def test_ctrl_c_ends_every_rank_and_leaves_nothing(benches):
    running = benches.start("bench.latency", "--np", "2", "--idle", "--seconds", "600")
    assert any("2 rank(s) sleep for 600 s" in line for line in running.stdout)
    running.send_signal(signal.SIGINT)
    output = running.communicate(timeout=20)[0]
    assert running.returncode == 130
    assert "Traceback" not in output
    assert benches.leftovers() == []
