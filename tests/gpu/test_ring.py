"""The pull ring over device memory and flags: exact, bit-equal on all ranks, and never for ever.

Its driver is bench/device/ring.py, which stands on the plug-ins alone.
"""

import threading

import numpy as np
import pytest

from bench.device.abi import Dtype
from bench.device.plugin import find_plugin
from bench.device.ring import ring_of_streams
from bench.device.ring_processes import RingProcesses
from bench.device.values import random_values

LIMIT_S = 60.0
COUNTS = [1, 5, 1000, 65_537]


def check(ring, dtype, count, turns=2):
    answers = ring.ask(do="check", dtype=int(dtype), count=count, turns=turns, limit_s=LIMIT_S)
    assert [answer["wrong"] for answer in answers] == [0] * ring.size
    assert len({answer["digest"] for answer in answers}) == 1


@pytest.mark.parametrize("size", [2, 3, 4, 8])
def test_a_ring_of_processes_is_exact_and_bit_equal(plugin, size):
    with RingProcesses(find_plugin(plugin.kind), size, 8 * max(COUNTS)) as ring:
        for count in COUNTS:
            check(ring, Dtype.FLOAT32, count)
        for dtype in Dtype:
            check(ring, dtype, 1003)


def test_ranks_whose_peer_is_killed_raise_in_time(plugin):
    with RingProcesses(find_plugin(plugin.kind), 3, 4000) as ring:
        check(ring, Dtype.FLOAT32, 1000)
        ring.tell(do="die", rank=1, count=1000, limit_s=1.0)
        answers = list(ring.answers(without=1))
    assert all("not reached within 1.0 s" in answer["raised"] for answer in answers)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_ring_of_threads_without_waits_of_the_host_is_exact(plugin, size):
    count, turns = 10_007, 4
    generator = np.random.default_rng(size)
    values = [np.floor(random_values(generator, Dtype.FLOAT32, count)) for _ in range(size)]
    want = sum(values) * np.float32(size) ** (turns - 1)

    def run(rank):
        for _ in range(turns):  # the sums of the turn before are summed again
            rank.before_pack()
            rank.allreduce(count, Dtype.FLOAT32)
        rank.finish(LIMIT_S)

    with ring_of_streams(plugin, size, 4 * count) as ranks:
        for rank, value in zip(ranks, values, strict=True):
            plugin.put(value, rank.fused)
        threads = [threading.Thread(target=run, args=(rank,)) for rank in ranks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for rank in ranks:
            found = plugin.get(rank.fused, np.empty(count, np.float32))
            np.testing.assert_array_equal(found, want)
