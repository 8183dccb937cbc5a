"""Registered memory: zeroed, handed out again, outliving its engine, never leaking a descriptor."""

import ctypes
import gc
from pathlib import Path

import numpy as np
import pytest

from ringsync import _native
from ringsync.errors import PeerLostError

from ..ranks import TRANSPORTS, Collective, Rank, World, finish, until, world

both = pytest.mark.parametrize("transport", TRANSPORTS)


def meminfo(total, free, available=None) -> str:
    text = f"MemTotal: {total} kB\nMemFree: {free} kB\n"
    return text + ("" if available is None else f"MemAvailable: {available} kB\nBuffers: 7 kB\n")


@pytest.mark.parametrize(
    ("text", "kib"),
    [
        (meminfo(3200, 100, 1000), 900),  # a share of the machine is left to others
        (meminfo(3200, 50, 60), 30),  # half of what is little
        (meminfo(3200, 1000, 0), 900),  # a guest's kernel that has no estimate
        (meminfo(3200, 0, 0), 0),
    ],
)
def test_room_is_what_the_kernel_estimates_and_no_less_than_what_is_free(text, kib):
    assert _native.free_room(text) == 1024 * kib


@pytest.mark.parametrize("text", ["", "no such file", meminfo(3200, 100)])
def test_without_an_estimate_there_is_no_limit(text):
    assert _native.free_room(text) == 2**64 - 1


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def tasks() -> set[str]:
    """The threads of this process; one may be joined, and listed for a moment yet."""
    return {task.name for task in Path("/proc/self/task").iterdir()}


def shared_mappings() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:ringsync")


def flags_of_mappings(name, at_least_bytes) -> list[set[str]]:
    """What the kernel was told of every mapping of the files `name` that is so long."""
    found, is_wanted = [], False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        word, *rest = line.split()
        if not word.endswith(":"):
            first, last = (int(address, 16) for address in word.split("-"))
            is_wanted = f"/memfd:{name}" in rest and last - first >= at_least_bytes
        elif word == "VmFlags:" and is_wanted:
            found.append(set(rest))
    return found


def address_of(array) -> int:
    return array.ctypes.data


@both
@pytest.mark.parametrize("size_bytes", [0, 1, 40, 4095, 4096, 4097, 1_000_000])
def test_registered_memory_is_zeroed_also_when_it_is_handed_out_again(transport, size_bytes):
    with world(1, transport) as ranks:
        engine = ranks.ranks[0].engine
        for _ in range(3):
            memory = engine.allocate(size_bytes)
            assert memory.nbytes == size_bytes
            assert not memory.any()
            memory[...] = 255
            del memory


@both
@pytest.mark.parametrize("size_bytes", [1, 40, 4096, 100_000, 1_000_000, 3_000_000])
def test_no_two_ranks_begin_their_arrays_at_one_place_of_a_page(transport, size_bytes):
    # At equal places what ranks sum at once would fight for one set of the first-level cache.
    with world(8, transport) as ranks:
        blocks = [[rank.engine.allocate(size_bytes) for _ in range(3)] for rank in ranks.ranks]
        for of_all_ranks in zip(*blocks, strict=True):
            assert len({address_of(block) % 4096 for block in of_all_ranks}) == 8


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="no such kernel"
)
def test_a_mapping_of_2_mib_or_more_asks_for_huge_pages():
    def work(rank):
        array = rank.registered(np.ones(2**18))
        rank.allreduce(array)  # so that each maps what the other has
        return array

    with world(2, "shm") as ranks:
        kept = ranks.each(work)
        flags = flags_of_mappings("ringsync", kept[0].nbytes)
        assert len(flags) >= len(kept) ** 2
        assert all("hg" in words for words in flags)


@both
@pytest.mark.parametrize("size_bytes", [1, 40, 1000, 3000, 5000, 100_000])
def test_freed_blocks_are_handed_out_again(transport, size_bytes):
    with world(1, transport) as ranks:
        engine = ranks.ranks[0].engine
        addresses = set()
        for _ in range(20):
            memory = engine.allocate(size_bytes)
            addresses.add(address_of(memory))
            del memory
        assert len(addresses) == 1


@pytest.mark.parametrize("size_bytes", [40, 100_000])
def test_making_and_dropping_arrays_opens_no_more_descriptors(size_bytes):
    with world(1, "shm") as ranks:
        engine = ranks.ranks[0].engine
        engine.allocate(size_bytes)
        before = open_descriptors()
        for _ in range(50):
            engine.allocate(size_bytes)
        assert open_descriptors() <= before + 2


@both
def test_what_is_given_back_after_a_failure_is_never_handed_out_again(transport):
    # A peer that has not heard of it yet may still write its sums there.
    with world(2, transport) as ranks:
        engine = ranks.ranks[0].engine
        kept = [engine.allocate(100_000) for _ in range(30)]
        ranks.ranks[1].engine.shutdown("it had enough")
        with pytest.raises(PeerLostError):
            ranks.ranks[0].barrier()
        given_back = {address_of(memory) for memory in kept}
        kept.clear()
        later = [engine.allocate(100_000) for _ in range(30)]
        assert all(
            abs(address_of(memory) - address) >= 100_000
            for memory in later
            for address in given_back
        )


@both
def test_live_blocks_never_overlap(transport):
    with world(1, transport) as ranks:
        engine = ranks.ranks[0].engine
        random = np.random.default_rng(0)
        live = {}
        for turn in range(200):
            live[turn] = engine.allocate(int(random.integers(1, 20_000)))
            live[turn][...] = turn % 251
            if len(live) > 20:
                del live[next(iter(live))]
            assert all((memory == key % 251).all() for key, memory in live.items())


@both
def test_a_block_outlives_its_engine(transport):
    made = World(2, transport)
    memory = made.ranks[1].engine.allocate(1_000_000)
    made.close()
    del made
    gc.collect()
    memory[...] = 7
    assert memory.sum() == 7_000_000


@both
def test_a_view_keeps_its_block(transport):
    with world(1, transport) as ranks:
        engine = ranks.ranks[0].engine
        tail = engine.allocate(100_000)[-100:]
        gc.collect()
        other = engine.allocate(100_000)
        other[...] = 9
        assert not tail.any()


@both
def test_a_reused_block_is_seen_by_the_peers_at_its_new_place(transport):
    def work(rank):
        found = []
        for turn in range(30):
            array = rank.registered(np.full(5000 + 10 * (turn % 3), rank.rank + turn, np.int32))
            found.append(int(rank.allreduce(array)[-1]))
            del array
        return found

    with world(3, transport) as ranks:
        assert ranks.each(work) == [[3 + 3 * turn for turn in range(30)]] * 3


@both
def test_memory_registered_with_another_engine_is_treated_as_private(transport):
    with world(2, transport) as ranks, world(2, transport) as others:

        def work(rank):
            array = others.ranks[rank.rank].registered(np.full(1000, rank.rank + 1.0))
            return float(rank.allreduce(array)[999])

        assert ranks.each(work) == [3.0, 3.0]


def test_an_array_across_two_registered_blocks_is_private():
    # Mappings lie side by side in the address space, but peers see each for itself.
    def across_two(rank):
        blocks = [rank.engine.allocate(4096) for _ in range(20)]
        starts = {address_of(block) for block in blocks}
        start = next(address for address in starts if address + 4096 in starts)
        return blocks, np.ctypeslib.as_array((ctypes.c_float * 2048).from_address(start))

    def work(rank):
        blocks, array = across_two(rank)
        array[...] = rank.rank + 1
        assert len(blocks) == 20
        return set(rank.allreduce(array).tolist())

    with world(2, "shm") as ranks:
        assert ranks.each(work) == [{3.0}, {3.0}]


@both
def test_worlds_come_and_go_and_leave_no_descriptor_mapping_or_thread(transport):
    def turn(size):
        with world(size, transport) as ranks:
            ranks.each(lambda rank: rank.allreduce(rank.registered(np.ones(1000))))
            ranks.require_usable()

    def remains():
        gc.collect()
        return open_descriptors(), shared_mappings()

    threads = tasks()
    turn(3)
    before = remains()
    for number in range(50):
        turn(1 + number % 4)
    assert remains() == before
    until(lambda: tasks() <= threads)


@both
def test_an_engine_that_is_only_dropped_ends_as_if_shut_down(transport):
    gc.collect()
    before = tasks()
    for _ in range(10):
        rank = Rank(_native.memory_store(), 0, 1, transport)
        finish(rank.submit(Collective.ALLREDUCE, np.ones(3)))
        del rank
    gc.collect()
    until(lambda: tasks() <= before)


def test_hundreds_of_registered_arrays_at_once_are_usable():
    def work(rank):
        arrays = [rank.registered(np.full(10, float(rank.rank))) for _ in range(300)]
        handles = [rank.submit(Collective.ALLREDUCE, array) for array in arrays]
        for handle in handles:
            finish(handle)
        return {float(array[3]) for array in arrays}

    with world(2, "shm") as ranks:
        assert ranks.each(work) == [{1.0}, {1.0}]
