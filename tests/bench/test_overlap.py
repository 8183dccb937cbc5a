"""What is exposed is compared round by round, and whoever is not installed stays out."""

import json
import sys

import pytest

from bench import overlap, training
from bench.exposure import compare_exposed
from bench.series import Series


def series(contender, times_ms, gradients="kept"):
    facts = {"contender": contender, "gradients": gradients}
    return Series(contender, [time_ms / 1e3 for time_ms in times_ms], facts)


def test_exposed_is_the_median_of_each_rounds_difference():
    found = compare_exposed([series("plain", [10, 20, 30]), series("ddp", [14, 25, 36])], "", [])
    assert found[1].facts["exposed_ms"] == pytest.approx(5)
    assert "exposed_ms" not in found[0].facts


def test_ratios_are_of_what_is_exposed_with_the_same_fate_of_gradients():
    found = compare_exposed(
        [
            series("plain", [10], "dropped"),
            series("ringsync", [11], "dropped"),
            series("ddp", [14], "dropped"),
            series("plain", [10], "kept"),
            series("ringsync", [12], "kept"),
            series("ddp", [14], "kept"),
        ],
        "ringsync",
        ["ddp", "horovod"],
    )
    ratios = {one.facts["gradients"]: one.facts for one in found if one.name == "ringsync"}
    assert ratios["dropped"]["ringsync / ddp"] == pytest.approx(0.25)
    assert ratios["kept"]["ringsync / ddp"] == pytest.approx(0.5)
    assert not any("ringsync / horovod" in facts for facts in ratios.values())


def test_nothing_is_compared_with_a_peer_that_exposes_nothing():
    found = compare_exposed(
        [series("plain", [10]), series("ringsync", [12]), series("ddp", [9])], "ringsync", ["ddp"]
    )
    assert "ringsync / ddp" not in found[1].facts


def test_overlap_lets_all_contenders_train_in_turn(benches, tmp_path):
    file = tmp_path / "overlap.json"
    words = ("--np", "2", "--peers", "ddp", "--shapes", "small", "--steps", "2")
    # Some of torch's imports make a place for what it compiles; nothing is compiled here.
    done = benches.run(
        "bench.overlap", *words, "--json", str(file), TORCHINDUCTOR_CACHE_DIR=str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    # Nothing but the launcher's note on threads: no rank has found parameters to differ.
    assert all(line.startswith("[ringsyncrun]") for line in done.stderr.splitlines()), done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if not line.startswith("#")]
    contenders = ("plain", "ringsync", "ddp")
    kinds = [(fate, who) for fate in ("dropped", "kept") for who in contenders]
    assert [(row[0], row[1], row[-1]) for row in rows] == [(*kind, "2") for kind in kinds]
    assert "# the wrapper at size 1: 0 hooks, 1 zero_grad, 1 step in a step, " in done.stdout
    record = {one["param"]: one for one in json.loads(file.read_text())["benchmarks"]}
    assert record["small-kept-ddp"]["extra_info"]["exposed_ms"]
    assert 0 < record["small-wrapper"]["extra_info"]["share"] < 1
    assert benches.leftovers() == []


def test_a_peer_that_is_not_installed_is_skipped_with_one_line(monkeypatch, capsys):
    monkeypatch.setattr(training, "find_missing", lambda *_: "python has not all of torch")
    assert overlap.measure(["--peers", "ddp"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "[bench] ddp is skipped: python has not all of torch\n"


def test_what_is_missing_is_looked_for_in_this_interpreter(monkeypatch, capsys):
    asked = []

    def find_missing(interpreter, packages):
        asked.append((str(interpreter), packages))
        return "it is not there"

    monkeypatch.setattr(training, "find_missing", find_missing)
    assert overlap.measure(["--peers", "horovod,none"]) == 0
    assert asked == [(sys.executable, ("horovod", "torch")), (sys.executable, ("torch",))]
    assert capsys.readouterr().err.count("\n") == 2
