"""How a rank finds from which size on private memory is reached into."""

import pytest

from ringsync import trial
from ringsync.kinds import Collective


class Host:
    """Stands for an engine and the clock of a host on which each way takes so long."""

    def __init__(self, seconds, is_reachable=True):
        self.is_reachable = is_reachable
        self.seconds = seconds  # of a way, "queues" or "reach", and a size in bytes
        self.reach_from = -1
        self.now_s = 0.0

    def can_reach(self):
        return self.is_reachable

    def set_reach_from(self, size_bytes):
        self.reach_from = size_bytes

    def run(self, collective, array, *_):
        if collective == Collective.ALLREDUCE:
            way = "reach" if array.nbytes >= self.reach_from else "queues"
            self.now_s += self.seconds(way, array.nbytes)

    def perf_counter(self):
        return self.now_s


@pytest.mark.parametrize(
    ("overtakes_at_kib", "found_kib"),
    [(1, 256), (200, 256), (300, 1024), (2000, 4096), (5000, 16384), (10**9, 16384)],
)
def test_memory_is_reached_into_from_the_first_size_that_gains(
    monkeypatch, overtakes_at_kib, found_kib
):
    def seconds(way, size_bytes):
        rate = 1e-9 * size_bytes
        return 2 * rate if way == "queues" else rate + 1e-9 * 1024 * overtakes_at_kib

    host = Host(seconds)
    monkeypatch.setattr(trial, "time", host)
    trial.choose_way(host, True, 30.0)
    assert host.reach_from == found_kib * 1024


@pytest.mark.parametrize(("has_core", "is_reachable"), [(True, False), (False, True)])
def test_nothing_is_tried_where_a_time_would_tell_nothing(monkeypatch, has_core, is_reachable):
    host = Host(lambda *_: 1.0, is_reachable)
    monkeypatch.setattr(trial, "time", host)
    trial.choose_way(host, has_core, 30.0)
    assert host.reach_from == -1
