"""The store's promises, the same between threads and between processes."""

import itertools
import threading

import pytest

from ringsync import _native
from ringsync.errors import RendezvousError, RingsyncError

from ..ranks import DEADLINE_S, side_by_side, values_of


@pytest.fixture(params=["memory", "local"])
def stores(request, tmp_path):
    """Three ranks' views of one store."""
    if request.param == "memory":
        return [_native.memory_store()] * 3
    directory = str(tmp_path / "d")
    return values_of(side_by_side(3, lambda rank: _native.meet(directory, rank, 3, DEADLINE_S)))


def test_what_one_rank_sets_all_can_get(stores):
    stores[1].set("key", b"value")
    assert [store.get("key", 5.0) for store in stores] == [b"value"] * 3


@pytest.mark.parametrize("value", [b"", b"\0\0", bytes(range(256)), b"x" * 100_000])
def test_any_bytes_travel_unchanged(stores, value):
    stores[2].set("key", value)
    assert stores[0].get("key", 5.0) == value


@pytest.mark.parametrize("key", ["", "a/b c", "é" * 100])
def test_any_key_without_zero_bytes_works(stores, key):
    stores[0].set(key, b"1")
    assert stores[1].get(key, 5.0) == b"1"
    assert stores[1].remove(key)


def test_a_later_value_replaces_an_earlier_one(stores):
    stores[0].set("key", b"1")
    stores[1].set("key", b"2")
    assert stores[2].get("key", 5.0) == b"2"


def test_a_get_waits_until_the_key_is_set(stores):
    waiting = threading.Event()

    def work(rank):
        if rank == 0:
            waiting.wait(DEADLINE_S)
            stores[0].set("late", b"here")
            return b"here"
        waiting.set()
        return stores[rank].get("late", DEADLINE_S)

    assert side_by_side(3, work) == [b"here"] * 3


def test_a_get_that_is_too_early_names_its_key(stores):
    with pytest.raises(RendezvousError, match="'never'"):
        stores[1].get("never", 0.1)


def test_a_get_that_is_too_early_spares_the_other_ranks(stores):
    with pytest.raises(RendezvousError):
        stores[1].get("never", 0.1)
    stores[2].set("key", b"1")
    assert stores[0].get("key", 5.0) == b"1"


def test_counting_from_all_ranks_loses_nothing(stores):
    def work(rank):
        return [stores[rank].add("counter", 1) for _ in range(100)]

    seen = values_of(side_by_side(3, work))
    assert sorted(itertools.chain(*seen)) == list(range(1, 301))
    assert stores[0].get("counter", 5.0) == b"300"


def test_a_counter_goes_down_too(stores):
    assert stores[0].add("counter", -5) == -5
    assert stores[1].add("counter", 7) == 2


@pytest.mark.parametrize(("most", "step"), [(2**63 - 1, 1), (-(2**63), -1)])
def test_a_count_beyond_64_bits_is_refused_and_the_counter_keeps_its_value(stores, most, step):
    assert stores[0].add("counter", most) == most
    with pytest.raises(RendezvousError, match=r"'counter'.*64 bits"):
        stores[1].add("counter", step)
    assert stores[2].get("counter", 5.0) == b"%d" % most


def test_removing_tells_whether_there_was_such_a_key(stores):
    stores[0].set("key", b"1")
    assert stores[1].remove("key")
    assert not stores[2].remove("key")
    with pytest.raises(RendezvousError):
        stores[0].get("key", 0.05)


def test_counting_on_what_is_no_number_is_an_error_of_ours(stores):
    stores[0].set("key", b"seven")
    with pytest.raises(RendezvousError, match="key"):
        stores[0].add("key", 1)


def test_a_value_beyond_a_packet_is_refused_and_the_store_goes_on(stores, request):
    if "local" not in request.node.name:
        return
    with pytest.raises(RingsyncError, match="exceeds"):
        stores[1].set("key", b"x" * 200_000)
    stores[1].set("key", b"1")
    assert stores[2].get("key", 5.0) == b"1"


def test_the_store_outlives_rank_0s_use_of_it_only_with_its_process(tmp_path):
    directory = str(tmp_path / "d")
    stores = values_of(side_by_side(2, lambda rank: _native.meet(directory, rank, 2, DEADLINE_S)))
    del stores[0]
    with pytest.raises(RendezvousError, match=r"rank 0 did not answer for 'key'"):
        stores[0].get("key", 5.0)
