"""The pull ring of several ranks on one device, against the least that it must read and write.

All ranks together move 5 n (N-1) bytes: in each of N-1 steps every rank reads two chunks and writes
one to sum, and reads one and writes one to copy. NVLink between devices is not measured here.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

from bench.device.abi import Dtype
from bench.device.ceiling import Ceiling
from bench.device.parts import Row
from bench.device.ring import ring_of_streams
from bench.device.ring_processes import RankFailedError, RingProcesses
from bench.device.timing import Stopwatch, Time

_MIB = 2**20
_LIMIT_S = 20.0
_SIZES = (2, 4, 8)


def measure_ring_in_process(watch: Stopwatch, ceiling: Ceiling) -> Iterator[Row]:
    """All ranks in one process, each on a stream of its own."""
    for size, size_mib in product(_SIZES, (16, 64, 256)):
        found = _time_in_process(watch, size, size_mib * _MIB)
        row = _row("one process", size, size_mib, found.device_us, ceiling)
        # One thread calls for all ranks: where this is as long, nothing else was measured.
        yield {**row, "host us": found.host_us}


def measure_ring_of_processes(plugin: Path, watch: Stopwatch, ceiling: Ceiling) -> Iterator[Row]:
    """A process for each rank, which share their memory and the device's time."""
    for size in _SIZES:
        try:
            with RingProcesses(plugin, size, 64 * _MIB) as ring:
                for size_mib in (1, 16, 64):
                    count = size_mib * _MIB // 4
                    answers = ring.ask(
                        do="measure",
                        dtype=int(Dtype.FLOAT32),
                        count=count,
                        turns=10,
                        warm_ups=2,
                        limit_s=_LIMIT_S,
                    )
                    us = max(answer["seconds"] for answer in answers) * 1e6
                    yield _row("processes", size, size_mib, us, ceiling)
        except RankFailedError as error:
            yield {"ranks": size, "how": "processes", "failed": str(error)}
    watch.plugin.call("synchronize_stream", watch.stream)


def _time_in_process(watch: Stopwatch, size: int, size_bytes: int) -> Time:
    plugin = watch.plugin
    with ring_of_streams(plugin, size, size_bytes) as ranks:
        for rank in ranks:
            plugin.call("fill", rank.fused, 0, size_bytes, 0)
        plugin.call("synchronize_stream", 0)
        event = plugin.create_event()

        def run(turn: int) -> None:
            if turn == 0:  # no rank before the stopwatch has started
                plugin.call("record_event", event, watch.stream)
                for rank in ranks:
                    plugin.call("wait_event", rank.stream, event)
            for rank in ranks:
                rank.before_pack()
                rank.allreduce(size_bytes // 4, Dtype.FLOAT32)
            # The stopwatch's stream ends when all ranks' have.
            for rank in ranks:
                plugin.call("record_event", event, rank.stream)
                plugin.call("wait_event", watch.stream, event)

        found = watch.time(run, 10)
        plugin.call("destroy_event", event)
    return found


def _row(how: str, size: int, size_mib: int, us: float, ceiling: Ceiling) -> Row:
    size_bytes = size_mib * _MIB
    # At the speed of a large copy: the ring's memory is larger than any cache.
    per_byte_us = ceiling.best_us(512 * _MIB) / (512 * _MIB)
    floor_us = 5 * size_bytes * (size - 1) * per_byte_us
    return {
        "ranks": size,
        "how": how,
        "MiB": size_mib,
        "us": us,
        "floor us": floor_us,
        "ratio": floor_us / us,
        "busbw GB/s": 2 * (size - 1) / size * size_bytes / us / 1e3,
    }
