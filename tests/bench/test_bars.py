"""What is promised of long programs and of idle ranks: figures of benches stay below their bars."""

import json
import re

import pytest

pytestmark = pytest.mark.alone

# What a run of bench.steady leaves out when only one of its three parts is asked for.
FEW_CYCLES, FEW_NAMES, SHORT_HOLD = ("--cycles", "1"), ("--names", "1"), ("--seconds", "0.01")


@pytest.fixture
def figures(benches, tmp_path):
    """Runs a bench; what it printed, and the statistics and facts of each of its series."""

    def run(bench, *words):
        file = tmp_path / "record.json"
        done = benches.run(bench, *words, "--json", str(file))
        assert done.returncode == 0, done.stderr
        return done.stdout, {
            one["param"]: one["stats"] | one["extra_info"]
            for one in json.loads(file.read_text())["benchmarks"]
        }

    return run


def require(bar, measure):
    """The figure that `measure` returns, with what was printed, is no larger than `bar`."""
    figure, printed = measure()
    if figure > bar:
        # Other programs of the machine take its cores from a run now and then, which no program can
        # help; what ringsync itself takes too long for, it takes too long for twice.
        again, printed_again = measure()
        figure, printed = min(figure, again), printed + printed_again
    assert figure <= bar, printed


def test_105_worlds_of_2_ranks_come_and_go_in_less_than_2_5_s(figures):
    def measure():
        words = ("--np", "2", "--cycles", "105", *FEW_NAMES, *SHORT_HOLD)
        printed, found = figures("bench.steady", *words)
        assert found["cycles"]["rounds"] == 105
        return found["cycles"]["total"], printed

    require(2.5, measure)


def test_the_last_1000_of_10000_names_take_at_most_half_as_long_again_as_the_first(figures):
    def measure():
        words = ("--np", "2", "--names", "10000", *FEW_CYCLES, *SHORT_HOLD)
        printed, found = figures("bench.steady", *words)
        assert found["names"]["rounds"] == 10_000
        # The record holds statistics of all names together; only the line compares tenths.
        tenths = r"takes ([\d.]+) us in the first tenth, ([\d.]+) us in the last"
        first_us, last_us = map(float, re.search(tenths, printed).groups())
        return last_us / first_us, printed

    require(1.5, measure)


def test_no_operation_of_a_group_is_delayed_10_ms_while_another_group_waits_5_s(figures):
    def measure():
        words = ("--np", "4", "--seconds", "5", *FEW_CYCLES, *FEW_NAMES)
        printed, found = figures("bench.steady", *words)
        holds = {name: one for name, one in found.items() if "held" in one}
        assert holds.keys() == {"same-ranks", "other-ranks"}
        assert {one["seconds"] for one in holds.values()} == {5.0}
        # The longest of all: an operation is delayed by no more than it takes.
        return max(one["max"] for one in holds.values()), printed

    require(0.010, measure)


def test_each_of_4_idle_ranks_uses_less_than_a_five_hundredth_of_a_core(figures):
    def measure():
        words = ("--np", "4", "--idle", "--seconds", "2")
        printed, found = figures("bench.latency", *words)
        ranks = [one for one in found.values() if one["np"] == 4]
        assert [one["rank"] for one in ranks] == [0, 1, 2, 3]
        assert min(one["elapsed_s"] for one in ranks) >= 2
        return max(one["cpu_percent"] for one in ranks), printed

    require(0.2, measure)
