"""Benches print their tables and write records that pytest-benchmark reads; no figure is judged."""

import json
import re
import subprocess
import sys

import pytest
from pytest_benchmark.stats import Stats


def rows_of(output):
    """Cells of each line that is no comment."""
    return [line.split() for line in output.splitlines() if not line.startswith("#")]


@pytest.fixture(scope="module")
def allreduce(benches, tmp_path_factory):
    file = tmp_path_factory.mktemp("bench") / "allreduce.json"
    words = ("--np", "2", "--sizes", "4,1KiB,64KiB", "--repeat", "7", "--json", str(file))
    done = benches.run("bench.allreduce", *words)
    assert done.returncode == 0, done.stderr
    return done, file


def test_allreduce_has_a_row_for_each_size_in_each_memory(allreduce):
    rows = rows_of(allreduce[0].stdout)
    assert [(row[0], row[4]) for row in rows] == [
        (size, memory) for memory in ("private", "registered") for size in ("4", "1024", "65536")
    ]
    assert [row[1] for row in rows[:3]] == ["1", "256", "16384"]


def test_allreduce_finds_no_wrong_value_and_counts_its_iterations(allreduce):
    assert {tuple(row[-3:-1]) for row in rows_of(allreduce[0].stdout)} == {("0", "7")}


def test_allreduce_names_its_columns_as_nccl_tests_does(allreduce):
    head = next(line for line in allreduce[0].stdout.splitlines() if "algbw" in line)
    assert head.split()[1:5] == ["size", "count", "type", "redop"]
    assert {"time", "algbw", "busbw", "#wrong"} <= set(head.split())


def test_a_record_has_all_that_pytest_benchmark_writes(allreduce):
    record = json.loads(allreduce[1].read_text())
    assert {"machine_info", "commit_info", "benchmarks", "datetime", "version"} <= record.keys()
    assert {"node", "machine", "python_version", "cpu"} <= record["machine_info"].keys()
    assert {"id", "time", "dirty", "project"} <= record["commit_info"].keys()
    for benchmark in record["benchmarks"]:
        assert set(Stats.fields) | {"iterations"} == benchmark["stats"].keys()


def test_bus_bandwidth_follows_from_the_median_and_the_ranks(allreduce):
    for benchmark in json.loads(allreduce[1].read_text())["benchmarks"]:
        facts, stats = benchmark["extra_info"], benchmark["stats"]
        assert facts["np"] == 2
        assert facts["algbw"] == pytest.approx(facts["bytes"] / stats["median"] / 1e9)
        assert facts["busbw"] == pytest.approx(facts["algbw"])  # 2(n-1)/n of 2 ranks is 1
        assert stats["rounds"] == 7
        assert stats["min"] <= stats["q1"] <= stats["median"] <= stats["q3"] <= stats["max"]


def test_pytest_benchmark_compares_a_record(allreduce):
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", str(allreduce[1])],
        cwd=allreduce[1].parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "benchmark 'allreduce': 6 tests" in done.stdout
    assert "allreduce[registered-64KiB]" in done.stdout


def test_one_kind_of_memory_can_be_chosen(benches):
    words = ("--np", "1", "--sizes", "8", "--repeat", "1", "--memory", "registered")
    done = benches.run("bench.allreduce", *words)
    assert done.returncode == 0, done.stderr
    assert [(row[0], row[4], row[-3]) for row in rows_of(done.stdout)] == [("8", "registered", "0")]


def test_latency_times_a_barrier_and_small_sums_and_sends(benches, tmp_path):
    file = tmp_path / "latency.json"
    words = ("--np", "2", "--sizes", "4,1KiB", "--memory", "private", "--repeat", "20")
    done = benches.run("bench.latency", *words, "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert [row[:2] + row[-1:] for row in rows_of(done.stdout)] == [
        ["barrier", "0", "20"],
        ["allreduce_", "4", "20"],
        ["send", "4", "20"],
        ["allreduce_", "1024", "20"],
        ["send", "1024", "20"],
    ]
    names = [one["name"] for one in json.loads(file.read_text())["benchmarks"]]
    calls = ["barrier", "private-4B", "send-private-4B", "private-1KiB", "send-private-1KiB"]
    assert names == [f"latency[{call}]" for call in calls]


def test_idle_tells_every_ranks_share_and_the_largest(benches, tmp_path):
    file = tmp_path / "idle.json"
    words = ("--np", "2", "--idle", "--seconds", "0.2", "--json", str(file))
    done = benches.run("bench.latency", *words)
    assert done.returncode == 0, done.stderr
    line = r"idle: rank (\d) of (\d) \(pid \d+\): ([\d.]+) % CPU, .* (\d+) voluntary context"
    found = re.findall(line, done.stdout)
    assert [(rank, size) for rank, size, _, _ in found] == [("0", "2"), ("1", "2"), ("0", "1")]
    largest = max((share for _, _, share, _ in found), key=float)
    assert f"idle: largest {largest} % CPU" in done.stdout
    shares = [one["extra_info"] for one in json.loads(file.read_text())["benchmarks"]]
    assert [f"{one['cpu_percent']:.4f}" for one in shares] == [share for _, _, share, _ in found]


def test_steady_tells_what_cycles_names_and_groups_take(benches):
    words = ("--np", "4", "--seconds", "0.2")
    done = benches.run("bench.steady", *words)
    assert done.returncode == 0, done.stderr
    time = r"[\d.]+"
    for line in (
        rf"cycles: 105 of init and shutdown in {time} s, median {time} ms",
        rf"names: 10000; an operation takes {time} us in the first tenth, {time} us in the last: ",
        r"groups: 100 operations of ranks \[0, 1\] while one of ranks \[0, 1\] waits 0.2 s: med",
        r"groups: 100 operations of ranks \[2, 3\] while one of ranks \[0, 1\] waits 0.2 s: med",
    ):
        assert re.search(line, done.stdout), done.stdout
    assert benches.leftovers() == []


def test_overlap_compares_each_bucket_size_with_the_plain_step(benches, tmp_path):
    file = tmp_path / "overlap.json"
    words = ("--np", "2", "--steps", "3", "--bucket-mib", "0.25,8", "--json", str(file))
    done = benches.run("bench.overlap", *words)
    assert done.returncode == 0, done.stderr
    assert [row[0] for row in rows_of(done.stdout)] == [
        "plain",
        "buckets-0.25MiB",
        "buckets-8MiB",
    ]
    for one in json.loads(file.read_text())["benchmarks"][1:]:
        assert {"exposed_ms", "communication_ms", "overlap"} <= one["extra_info"].keys()
        assert 0 <= one["extra_info"]["overlap"] <= 1
