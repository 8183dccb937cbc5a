"""Buckets to measure with: the tensors of models, each in memory of its own, and fusion buffers.

All contenders move the same memory, which others see through its address.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from bench.device.abi import Dtype, Move, Shape
from bench.device.plugin import Plugin, make_move, make_table
from bench.device.timing import rotation
from bench.device.values import NUMPY
from bench.shapes import bert_base, bert_large, resnet50

_ALIGN_BYTES = 256
_MB = 10**6
# Enough for the smallest bucket that is measured; what is smaller is about the host's time.
_MOST_COPIES = 10


def buckets() -> dict[str, tuple[int, ...]]:
    """Counts of elements, by name: whole models, and buckets cut from BERT-base."""
    counts = bert_base()
    return {
        "25MB": _first(counts, 25 * _MB),
        "64MB": _first(counts, 64 * _MB),
        "128MB": _first(counts, 128 * _MB),
        "resnet50": resnet50(),
        "bert-base": counts,
        "bert-large": bert_large(),
        # More than a kernel's parameter holds: three launches.
        "4000 of 32 KB": (8_000,) * 4_000,
    }


def _first(counts: Sequence[int], least_bytes: int) -> tuple[int, ...]:
    """The first tensors that make up so many bytes of float32; the last one is cut."""
    least = least_bytes // 4
    ends = list(accumulate(counts))
    whole = sum(end < least for end in ends)
    before = ends[whole - 1] if whole else 0
    return (*counts[:whole], least - before)


class MemorySets:
    """Memory of several copies of a bucket, over which turns rotate."""

    def __init__(self, plugin: Plugin, counts: Sequence[int], dtypes: tuple[Dtype, Dtype]) -> None:
        """Allocate.

        Args:
            plugin: Of the device.
            counts: Elements of each tensor.
            dtypes: Of tensors, and of fusion buffers.
        """
        self.plugin, self.counts, self.dtypes = plugin, counts, dtypes
        item, fused_item = (NUMPY[dtype].itemsize for dtype in dtypes)
        self.traffic_bytes = sum(counts) * (item + fused_item)
        quantum = _ALIGN_BYTES // fused_item
        sizes = [-(-count // quantum) * quantum for count in counts]
        self.firsts = [0, *accumulate(sizes)][: len(sizes)]
        self.elements = sum(sizes)
        self.turns = min(_MOST_COPIES, rotation(self.traffic_bytes))
        fused_bytes = max(self.elements * fused_item, 1)
        self.fused = [plugin.allocate(fused_bytes) for _ in range(self.turns)]
        # With room before each, as allocators leave it.
        places = [-(-count * item // _ALIGN_BYTES) * _ALIGN_BYTES + 2 * _ALIGN_BYTES
                  for count in counts]  # fmt: skip
        self._offsets = [0, *accumulate(places)][: len(places)]
        self._memory = [plugin.allocate(sum(places)) for _ in range(self.turns)]
        for memory in self._memory:
            plugin.call("fill", memory, 0, sum(places), 0)
        for memory in self.fused:
            plugin.call("fill", memory, 0, fused_bytes, 0)
        self.tensors = [[memory + offset for offset in self._offsets] for memory in self._memory]
        self._tables = [
            make_table(list(zip(addresses, self.firsts, counts, strict=True)))
            for addresses in self.tensors
        ]

    def moves(self, *, scale: float = 1.0, shape: Shape | None = None) -> list[Move]:
        """Arguments of pack and unpack, one for each copy."""
        return [
            make_move(table, fused, self.elements, self.dtypes, scale=scale, shape=shape)
            for table, fused in zip(self._tables, self.fused, strict=True)
        ]

    def close(self) -> None:
        """Give the memory back."""
        for memory in (*self.fused, *self._memory):
            self.plugin.call("release", memory)
