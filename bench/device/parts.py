"""What is measured on a device: each part returns rows, whose ratios are to this run's ceilings.

Ratio is always ceiling's time over measured time: 1 is as fast as a plain copy of as many bytes.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

from bench.device.abi import Dtype, Shape
from bench.device.ceiling import Ceiling
from bench.device.others import Contender, cupy_contenders, torch_contenders
from bench.device.plugin import Plugin, make_sum
from bench.device.sets import MemorySets, buckets
from bench.device.timing import Stopwatch, rotation

Row = dict[str, str | int | float]

_MIB = 2**20
_CEILING_MIB = (4, 16, 64, 128, 256, 512, 1024)
_PAIRS = (
    (Dtype.FLOAT32, Dtype.FLOAT32),
    (Dtype.FLOAT32, Dtype.BFLOAT16),
    (Dtype.FLOAT32, Dtype.FLOAT16),
)
# Their loops are others', and they travel less often: measured once.
_WIDE_PAIRS = tuple((one, one) for one in (Dtype.INT32, Dtype.INT64, Dtype.FLOAT64))
_SWEPT = ("25MB", "resnet50", "bert-base")
_BURST = 100


def measure_ceilings(_: Stopwatch, ceiling: Ceiling) -> Iterator[Row]:
    """Copies of device memory by the driver and by kernels."""
    for size_mib in _CEILING_MIB:
        for name, us in ceiling.all_us(size_mib * _MIB).items():
            yield {"MiB": size_mib, "copy": name, "us": us, "GB/s": 2 * size_mib * _MIB / us / 1e3}


def measure_moves(watch: Stopwatch, ceiling: Ceiling) -> Iterator[Row]:
    """Pack and unpack of models and buckets, beside other libraries."""
    for (name, counts), dtypes in product(buckets().items(), (*_PAIRS, *_WIDE_PAIRS)):
        if dtypes[1] == Dtype.FLOAT16 and name not in {"25MB", "bert-base"}:
            continue  # as bfloat16; here for CuPy's sake
        if dtypes in _WIDE_PAIRS and name != "bert-base":
            continue
        sets = MemorySets(watch.plugin, counts, dtypes)
        best_us = ceiling.best_us(sets.traffic_bytes)
        for verb in ("pack", "unpack"):
            calls = [watch.plugin.prepared(verb, move) for move in sets.moves()]
            own = Contender("ringsync", _in_turn(calls, watch.stream), 200)
            is_pack = verb == "pack"
            others = [
                *torch_contenders(sets, watch.stream, is_pack=is_pack),
                *cupy_contenders(sets, watch.stream, is_pack=is_pack),
            ]
            for contender in (own, *others):
                found = watch.time(contender.run, contender.most_turns)
                yield {
                    "set": name,
                    "tensors": len(counts),
                    "call": verb,
                    "types": f"{dtypes[0].name}-{dtypes[1].name}".lower(),
                    "by": contender.name,
                    "us": found.device_us,
                    "host us": found.host_us,
                    "GB/s": sets.traffic_bytes / found.device_us / 1e3,
                    "ratio": best_us / found.device_us,
                }
        sets.close()


def measure_sums(watch: Stopwatch, ceiling: Ceiling) -> Iterator[Row]:
    """Sums of 2, 4 and 8 peers, 64 MiB each."""
    for dtype, peers in product((Dtype.FLOAT32, Dtype.BFLOAT16), (2, 4, 8)):
        yield _sum_row(watch, ceiling, dtype, peers, Shape())


def sweep_sums(watch: Stopwatch, ceiling: Ceiling) -> Iterator[Row]:
    """The same by how the launch is cut."""
    for peers, threads, most in product((2, 8), (128, 256, 512), (264, 528, 1056, 4096, 1 << 20)):
        shape = Shape(threads, threads, 2 * 16 * threads, most)
        yield _sum_row(watch, ceiling, Dtype.FLOAT32, peers, shape)


def _sum_row(
    watch: Stopwatch, ceiling: Ceiling, dtype: Dtype, peers: int, shape: Shape, size: int = 64
) -> Row:
    plugin, size_bytes = watch.plugin, size * _MIB
    turns = rotation((peers + 1) * size_bytes)
    memory = plugin.allocate(size_bytes * (peers + 1) * turns)
    plugin.call("fill", memory, 0, size_bytes * (peers + 1) * turns, 0)
    count = size_bytes // (4 if dtype == Dtype.FLOAT32 else 2)
    calls = []
    for turn in range(turns):
        places = [memory + size_bytes * (turn * (peers + 1) + at) for at in range(peers + 1)]
        structure = make_sum(places[0], places[1:], count, dtype, shape=shape)
        calls.append(plugin.prepared("sum_peers", structure))
    found = watch.time(_in_turn(calls, watch.stream))
    plugin.call("release", memory)
    traffic = (peers + 1) * size_bytes
    return {
        "peers": peers,
        "type": dtype.name.lower(),
        "threads": shape.block_threads,
        "most blocks": shape.most_blocks,
        "us": found.device_us,
        "GB/s": traffic / found.device_us / 1e3,
        "ratio": ceiling.best_us(traffic) / found.device_us,
    }


def sweep_moves(watch: Stopwatch, ceiling: Ceiling) -> Iterator[Row]:
    """Packs by how the launch is cut, to choose the plug-in's defaults by."""
    for name, dtypes in product(_SWEPT, _PAIRS[:2]):
        sets = MemorySets(watch.plugin, buckets()[name], dtypes)
        best_us = ceiling.best_us(sets.traffic_bytes)
        for threads, team, span_kib, most in _shapes():
            shape = Shape(threads, team, span_kib * 1024, most)
            for verb in ("pack", "unpack"):
                calls = [watch.plugin.prepared(verb, one) for one in sets.moves(shape=shape)]
                found = watch.time(_in_turn(calls, watch.stream), 40)
                yield {
                    "set": name,
                    "call": verb,
                    "types": f"{dtypes[0].name}-{dtypes[1].name}".lower(),
                    "threads": threads,
                    "team": team,
                    "span KiB": span_kib,
                    "most blocks": most,
                    "us": found.device_us,
                    "ratio": best_us / found.device_us,
                }
        sets.close()


def _shapes() -> Iterator[tuple[int, int, int, int]]:
    for threads, span_kib in product((128, 256, 512), (1, 2, 4, 8, 16)):
        yield threads, 32, span_kib, 0
    for team, span_kib in product((64, 128), (4, 8, 16)):
        yield 512, team, span_kib, 0
    for threads, span_kib in product((256, 512), (32, 64, 128, 512)):
        yield threads, threads, span_kib, 0
    for threads, span_kib in ((256, 8), (512, 8)):
        yield threads, 32, span_kib, 132 * 1024 // threads


def measure_launches(watch: Stopwatch, _: Ceiling) -> Iterator[Row]:
    """What a bucket costs the calling thread: eager, and replayed as part of a graph."""
    plugin = watch.plugin
    for tensors in (1, 161, 240, 391, 1360):
        sets = MemorySets(plugin, [256] * tensors, _PAIRS[1])
        pack = plugin.prepared("pack", sets.moves()[0])
        yield {
            "tensors": tensors,
            "how": "eager, through ctypes",
            "host us": _host_us(watch, pack),
        }
        sets.close()
    nothing = MemorySets(plugin, [0], _PAIRS[0])
    empty = plugin.prepared("pack", nothing.moves()[0])
    yield {
        "tensors": 0,
        "how": "ctypes alone",
        "host us": _host_us(watch, empty),
    }
    yield from _graph_rows(watch)


def _graph_rows(watch: Stopwatch) -> Iterator[Row]:
    plugin, stream = watch.plugin, watch.stream
    for tensors, launches in product((1, 161, 391), (2, 2 * _BURST)):
        sets = MemorySets(plugin, [256] * tensors, _PAIRS[1])
        move = sets.moves()[0]
        pack, unpack = plugin.prepared("pack", move), plugin.prepared("unpack", move)
        plugin.call("begin_graph", stream)
        for _ in range(launches // 2):
            pack(stream)
            unpack(stream)
        graph = plugin.end_graph(stream)
        found = watch.time(partial(_replay, plugin, graph, stream), 50)
        yield {
            "tensors": tensors,
            "how": f"graph of {launches}, each",
            "host us": found.host_us / launches,
            "us": found.device_us / launches,
        }
        plugin.call("destroy_graph", graph)
        sets.close()


def _replay(plugin: Plugin, graph: int, stream: int, _: int) -> None:
    plugin.call("launch_graph", graph, stream)


def _host_us(watch: Stopwatch, launch: Callable[[int], None]) -> float:
    """Per launch, while the device keeps up; the least of several bursts."""
    best_s = float("inf")
    for _ in range(20):
        watch.plugin.call("synchronize_stream", watch.stream)
        start_s = time.perf_counter()
        for _ in range(_BURST):
            launch(watch.stream)
        best_s = min(best_s, time.perf_counter() - start_s)
    watch.plugin.call("synchronize_stream", watch.stream)
    return best_s / _BURST * 1e6


def _in_turn(calls: list[Callable[[Any], None]], stream: int) -> Callable[[int], None]:
    pointer = ctypes.c_void_p(stream)

    def run(turn: int) -> None:
        calls[turn % len(calls)](pointer)

    return run
