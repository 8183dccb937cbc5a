"""Overlap is computed from intervals."""

import pytest

from ringsync.handle import Times
from ringsync.parallel import ExchangeStats

MS = 1_000_000


@pytest.mark.parametrize(
    ("agreed_ms", "done_ms", "overlap"), [(0, 4, 1.0), (8, 12, 0.5), (10, 14, 0.0), (6, 14, 0.5)]
)
def test_overlap_is_the_share_of_communication_before_compute_ended(agreed_ms, done_ms, overlap):
    stats = ExchangeStats()
    times = Times(0, 0, agreed_ms * MS, done_ms * MS)
    stats.add_step([times], compute_end_ns=10 * MS)
    assert stats.overlap == pytest.approx(overlap)
    assert stats.communication_ms == pytest.approx(done_ms - agreed_ms)
    assert stats.exposed_ms == pytest.approx(max(0, done_ms - 10))


def test_without_communication_there_is_no_overlap():
    assert ExchangeStats().overlap == 0.0


def test_what_a_device_does_of_several_buckets_is_counted_once():
    stats = ExchangeStats()
    # All agreed on at once, and done one after the other; the last travels on the host.
    stages = [(1, 10), (2, 12), (3, 14), (3, 4)]
    stats.add_step(
        [Times(0, 0, agreed * MS, done * MS) for agreed, done in stages], compute_end_ns=11 * MS
    )
    assert stats.communication_ms == pytest.approx(13)
    assert stats.hidden_ms == pytest.approx(10)
    assert stats.waiting_ms == pytest.approx(3)


def test_what_ranks_are_waited_for_on_the_host_is_the_sum_of_what_follows_one_another():
    stats = ExchangeStats()
    stages = [(0, 2, 3), (3, 3, 5), (6, 10, 12)]
    stats.add_step([Times(0, *(ms * MS for ms in one)) for one in stages], compute_end_ns=0)
    assert stats.waiting_ms == pytest.approx(6)
