"""A contest's plan, merging and ratios are plain arithmetic; its processes end when they must."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.contest import Turn, allreduce_case, choose_turns, merge_ranks, rotate
from bench.process import run_program
from bench.ratios import best, compare, reached
from bench.scores import format_scores, with_ratios
from bench.series import Series


def series(contender, kind, case, *times_s, memory="private"):
    facts = {"contender": contender, "kind": kind, "case": case, "memory": memory, "family": ""}
    facts |= {"foreign_cores": 0.0, "turns": 3, "turns_dropped": 1, "bytes": 1000, "np": 2}
    return Series(f"{contender}-{case}", times_s, facts)


@pytest.fixture
def contest():
    return [
        series("ringsync-private", "ringsync", "1KiB", 1.0, 2.0, 9.0),
        series("openmpi", "peer", "1KiB", 8.0),
        series("openmpi-tuned", "peer", "1KiB", 4.0),
        series("mpich", "peer", "1KiB", 5.0),
    ]


def test_small_sizes_are_loops_of_calls_and_large_ones_single_calls():
    assert allreduce_case(2**20).calls > 1
    assert allreduce_case(2**20 + 4).calls == 1


def test_a_sample_takes_as_long_as_on_its_slowest_rank(tmp_path):
    for rank, times_s in enumerate(([1.0, 5.0], [3.0, 2.0])):
        report = [{"name": "1KiB", "times_s": times_s, "wrong": rank}]
        (tmp_path / f"rank-{rank}.json").write_text(json.dumps(report))
    assert merge_ranks(tmp_path) == [("1KiB", [3.0, 5.0], 1)]


@given(st.lists(st.integers(), min_size=1, unique=True))
def test_over_as_many_rounds_as_contenders_each_is_once_in_each_place(entries):
    rounds = [rotate(entries, round_) for round_ in range(len(entries))]
    assert all(sorted(place) == sorted(entries) for place in zip(*rounds, strict=True))


@given(st.lists(st.floats(0, 2), min_size=1))
def test_disturbed_turns_are_dropped_only_where_two_clean_ones_are_left(shares):
    turns = [Turn([1.0], 0, share) for share in shares]
    chosen = choose_turns(turns)
    if sum(share <= 0.15 for share in shares) >= 2:
        assert all(turn.foreign_cores <= 0.15 for turn in chosen)
        assert len(chosen) >= 2
    else:
        assert chosen == turns


def test_the_best_peer_is_chosen_for_each_case():
    assert best({"a": {"x": 1.0, "y": 4.0}, "b": {"x": 2.0, "y": 3.0}}) == {"x": 1.0, "y": 3.0}


def test_ratios_are_of_medians_to_the_best_peer_and_to_open_mpi_as_it_comes(contest):
    assert {ratio.name: ratio.by_case for ratio in compare(contest)} == {
        "ringsync-private / best peer": {"1KiB": 0.5},
        "ringsync-private / openmpi as it comes": {"1KiB": 0.25},
    }


def test_a_ceiling_is_the_best_of_those_for_the_same_memory_and_no_peer(contest):
    contest += [
        series("ceiling-read", "ceiling", "1KiB", 1.5),
        series("ceiling-whole", "ceiling", "1KiB", 1.0),
        series("ceiling-in-place", "ceiling", "1KiB", 0.1, memory="registered"),
    ]
    assert [(one.name, one.by_case) for one in reached(contest)] == [
        ("ringsync-private: fraction of ceiling", {"1KiB": 0.5})
    ]
    assert {"1KiB": 0.5} in [one.by_case for one in compare(contest)]


def test_bus_bandwidth_is_bytes_by_the_median_on_two_ranks(contest):
    assert with_ratios(contest)[0].facts["busbw"] == pytest.approx(1000 / 2.0 / 1e9)


def test_a_record_carries_the_ratios_of_ringsync_only(contest):
    noted = [one.facts.get("ringsync-private / best peer") for one in with_ratios(contest)]
    assert noted == [0.5, None, None, None]


def test_scores_in_markdown_have_a_row_for_each_contender_and_ratio(contest):
    rows = format_scores(contest, markdown=True).splitlines()
    assert rows[0] == "| contender | 1KiB (us) | foreign (cores) | dropped (turns) |"
    assert "| ringsync-private / best peer | 0.50 |" in rows


def test_a_program_past_its_deadline_is_killed_with_what_it_started(tmp_path):
    # The reader meets the end of this file once nobody has it open for writing any more.
    os.mkfifo(tmp_path / "held")
    reader = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    script = "setsid sh -c 'printf x; exec tail -f /dev/null' > held & wait"
    assert run_program(["sh", "-c", script], {}, tmp_path, 2.0).status == 124
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b"x", "it had not begun by the deadline"
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_a_peer_that_is_not_installed_is_skipped_with_one_line(benches):
    words = ("--np", "2", "--sizes", "4,1KiB", "--repeat", "2", "--rounds", "1")
    peers = ("--peers", "openmpi", "--peer-python", "/nowhere/{}/python")
    done = benches.run("bench.allreduce", *words, *peers)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("[bench] openmpi is skipped: ")
    assert "ringsync-private" in done.stdout
    assert "ringsync-registered" in done.stdout
    assert benches.leftovers() == []


def test_ceilings_are_compiled_once_and_take_part(benches, tmp_path):
    file, cache = tmp_path / "allreduce.json", {"XDG_CACHE_HOME": str(tmp_path)}
    words = ("--np", "2", "--sizes", "4,64KiB,4MiB", "--repeat", "2", "--rounds", "1", "--ceilings")
    for _ in range(2):
        done = benches.run("bench.allreduce", *words, "--json", str(file), **cache)
        assert (done.returncode, done.stderr) == (0, "")
    assert len(list((tmp_path / "ringsync-bench").iterdir())) == 1
    facts = [one["extra_info"] for one in json.loads(file.read_text())["benchmarks"]]
    assert {one["contender"] for one in facts if one["kind"] == "ceiling"} == {
        f"ceiling-{name}" for name in ("in-place", "whole", "halves", "read")
    }
    assert all(one["wrong"] == 0 for one in facts)
    assert sum("ringsync-private: fraction of ceiling" in one for one in facts) == 3


@pytest.mark.parametrize(
    "words", [("bench.latency", "--sizes", "1KiB"), ("bench.fusion", "--shapes", "small")]
)
def test_ceilings_take_part_in_contests_of_small_calls_and_of_many_arrays(benches, words):
    name, *choice = words
    done = benches.run(name, "--np", "2", *choice, "--repeat", "1", "--rounds", "1", "--ceilings")
    assert done.returncode == 0, done.stderr
    for told in ("ceiling-in-place", ": fraction of ceiling"):
        assert told in done.stdout


def test_without_a_compiler_ceilings_are_skipped_with_one_line(benches, tmp_path):
    words = ("--np", "2", "--sizes", "4", "--repeat", "2", "--rounds", "1", "--ceilings")
    done = benches.run("bench.allreduce", *words, PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stderr == "[bench] ceilings are skipped: there is no compiler 'c++'\n"
