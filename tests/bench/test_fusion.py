"""Shapes are those of the models, and every way of summing many tensors gives the same sums."""

from types import SimpleNamespace

import numpy as np
import pytest

from bench.fusion import REFERENCES, arena_counts
from bench.ranks.workloads import WORKLOADS
from bench.ratios import compare
from bench.series import Series
from bench.shapes import SHAPES


class Doubling:
    """A world of two ranks with equal values."""

    def __init__(self):
        self.calls = 0

    def allreduce(self, array):
        self.calls += 1
        array *= 2

    def allreduce_async(self, array):
        return SimpleNamespace(wait=lambda: self.allreduce(array))

    def grouped_allreduce(self, arrays):
        for array in arrays:
            self.allreduce(array)


@pytest.mark.parametrize(
    ("name", "tensors", "elements"),
    [("resnet50", 161, 25_557_032), ("bert", 199, 109_482_240), ("small", 1000, 256_000)],
)
def test_a_model_has_its_number_of_tensors_and_parameters(name, tensors, elements):
    counts = SHAPES[name]()
    assert (len(counts), sum(counts)) == (tensors, elements)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_an_arena_holds_all_gradients_in_three_buckets_or_more(name):
    counts = SHAPES[name]()
    assert sum(arena_counts(counts)) == sum(counts)
    assert len(arena_counts(counts)) >= 3


@pytest.mark.parametrize("workload", ["by-tensor", "in-buckets", "posted", "grouped"])
def test_every_workload_sums_each_array_once(workload):
    arrays = [np.full(count, count, np.float32) for count in (1, 5_000_000, 3, 2_000_000, 7)]
    WORKLOADS[workload](Doubling(), arrays)()
    assert all((array == 2 * len(array)).all() for array in arrays)


def test_buckets_join_neighbours_up_to_25_mib():
    library = Doubling()
    arrays = [np.zeros(count, np.float32) for count in (10, 8_000_000, 10, 10)]
    WORKLOADS["in-buckets"](library, arrays)()
    assert library.calls == 3


def test_of_open_mpis_settings_the_better_one_counts():
    def series(contender, workload, time_s):
        facts = {"contender": contender, "workload": workload, "case": "small", "family": "openmpi"}
        kind = "ringsync" if contender.startswith("ringsync") else "peer"
        facts |= {"kind": kind, "family": "openmpi" if kind == "peer" else ""}
        return Series(contender, [time_s], facts)

    contest = [
        series("ringsync-arena", "posted", 1.0),
        series("openmpi by-tensor", "by-tensor", 8.0),
        series("openmpi-tuned by-tensor", "by-tensor", 4.0),
        series("openmpi in-buckets", "in-buckets", 2.0),
    ]
    assert {ratio.name: ratio.by_case["small"] for ratio in compare(contest, REFERENCES)} == {
        "ringsync-arena / openmpi by tensor": 0.25,
        "ringsync-arena / openmpi in buckets": 0.5,
        "ringsync-arena / best peer": 0.5,
    }


def test_fusion_measures_each_of_ringsyncs_modes(benches):
    words = ("--np", "2", "--shapes", "small", "--repeat", "2", "--rounds", "1", "--markdown")
    done = benches.run("bench.fusion", *words)
    assert (done.returncode, done.stderr) == (0, "")
    for mode in ("arena", "loose", "grouped"):
        assert f"| ringsync-{mode} |" in done.stdout
    assert benches.leftovers() == []
