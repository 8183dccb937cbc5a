"""The pull ring between ranks that see each other's device memory, step by step on one stream.

Peers are addresses: of this process's threads, or opened from other processes. ringsync's engine
runs whatever schedule it has; this ring is for the plug-ins' memory, flags and sums by themselves.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.device.abi import Dtype
from bench.device.plugin import Plugin, PluginError, make_sum
from bench.device.values import NUMPY

# The flags have a page of their own before the fusion buffer.
FLAGS_BYTES = 4096
# A word each for the previous and the next rank, in memory of whoever waits; no common cache line.
_FROM_PREVIOUS, _FROM_NEXT = 0, 128
# Of this rank itself: not 0 once it has given up.
_HAS_GIVEN_UP = 256
# How often, and for how long each time, a rank that gives up lets its stream go on.
_PATIENCE, _BETWEEN_S = 100, 0.02
# Of a chunk's beginning, so that sums are made of vectors.
_ALIGN_BYTES = 16


def step_count(size: int) -> int:
    """How far the counter of a rank goes in one allreduce: packed, and two rounds of steps."""
    return 2 * (size - 1) + 1


def make_arena(plugin: Plugin, size_bytes: int) -> int:
    """Allocate flags, set to 0, and a fusion buffer behind them."""
    arena = plugin.allocate(FLAGS_BYTES + max(size_bytes, 1))
    plugin.call("fill", arena, 0, FLAGS_BYTES, 0)
    plugin.call("synchronize_stream", 0)
    return arena


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Arenas, as this rank sees them: its own, the previous rank's, the next one's."""

    own: int
    previous: int
    next: int


@contextlib.contextmanager
def ring_of_streams(plugin: Plugin, size: int, size_bytes: int) -> Iterator[list[RingRank]]:
    """Join all ranks of a ring in this process, each on a stream of its own.

    Args:
        plugin: Of the device.
        size: Of the ring.
        size_bytes: Of each rank's fusion buffer.

    Returns:
        For `with`: the ranks, which end with it.
    """
    arenas = [make_arena(plugin, size_bytes) for _ in range(size)]
    ranks = [
        RingRank(
            plugin,
            rank,
            size,
            Neighbours(arenas[rank], arenas[rank - 1], arenas[(rank + 1) % size]),
        )
        for rank in range(size)
    ]
    yield ranks
    for rank in ranks:
        rank.close()
    for arena in arenas:
        plugin.call("release", arena)


class RingRank:
    """One rank of a ring. One thread; every call returns at once but `finish`."""

    def __init__(self, plugin: Plugin, rank: int, size: int, arenas: Neighbours) -> None:
        """Join.

        Args:
            plugin: Of the device.
            rank: This rank.
            size: Of the ring.
            arenas: Whose flags are 0.
        """
        self.plugin, self.rank, self.size = plugin, rank, size
        self.stream = plugin.create_stream(is_urgent=True)
        self._rescue = plugin.create_stream()
        self._end = plugin.create_event()
        self._arenas = arenas
        # The previous rank waits for its next one's word, and the next one for its previous one's.
        peers = (arenas.next + _FROM_PREVIOUS, arenas.previous + _FROM_NEXT)
        self._peers = (ctypes.c_void_p * len(peers))(*peers)
        self._value = 0
        self._sums: dict[tuple[int, Dtype], list[Callable[[int], None]]] = {}

    @property
    def fused(self) -> int:
        """Address of this rank's fusion buffer."""
        return self._arenas.own + FLAGS_BYTES

    def before_pack(self) -> None:
        """Let the stream wait until the next rank has read the last result."""
        self._wait(_FROM_NEXT, self._value)

    def allreduce(self, count: int, dtype: Dtype) -> None:
        """Sum the first `count` elements of all ranks' fusion buffers, in place.

        Args:
            count: Equal on every rank; anything.
            dtype: Equal on every rank.
        """
        if self.size == 1:
            return
        start = self._value
        self._signal(start + 1)
        sums = self._sums.get((count, dtype)) or self._prepare(count, dtype)
        for step in range(self.size - 1):
            self._wait(_FROM_PREVIOUS, start + 1 + step)
            sums[step](self.stream)
            self._signal(start + 2 + step)
        for step in range(self.size - 1):
            self._wait(_FROM_PREVIOUS, start + self.size + step)
            self._pull(self.rank - step, count, dtype)
            self._signal(start + self.size + 1 + step)
        self._value = start + step_count(self.size)

    def finish(self, limit_s: float) -> None:
        """Wait on the host for all that was asked for.

        Args:
            limit_s: From now on.

        Raises:
            TimeoutError: A peer does nothing more. The stream is let go first.
        """
        self.plugin.call("record_event", self._end, self.stream)
        try:
            self.plugin.wait_until(self._end, limit_s)
        except TimeoutError:
            with contextlib.suppress(
                PluginError
            ):  # of a dead peer's memory; the first error counts
                self._let_go()
            raise

    def close(self) -> None:
        """Give streams and events back; arenas are the caller's."""
        for stream in (self.stream, self._rescue):
            self.plugin.call("destroy_stream", stream)
        self.plugin.call("destroy_event", self._end)

    def _let_go(self) -> None:
        """Silence this rank, and let its stream run out."""
        own = [self._arenas.own + _FROM_PREVIOUS, self._arenas.own + _FROM_NEXT]
        self.plugin.signal([self._arenas.own + _HAS_GIVEN_UP], 1, self._rescue)
        for _ in range(_PATIENCE):  # a peer that is behind may write its lower count over it
            self.plugin.signal(own, self._value, self._rescue)
            with contextlib.suppress(TimeoutError):
                self.plugin.wait_until(self._end, _BETWEEN_S)
                return

    def _prepare(self, count: int, dtype: Dtype) -> list[Callable[[int], None]]:
        made = []
        for step in range(self.size - 1):
            offset, elements = self._chunk(self.rank - step - 1, count, dtype)
            own, previous = self.fused + offset, self._arenas.previous + FLAGS_BYTES + offset
            structure = make_sum(own, [previous, own], elements, dtype)
            made.append(self.plugin.prepared("sum_peers", structure))
        self._sums[count, dtype] = made
        return made

    def _pull(self, chunk: int, count: int, dtype: Dtype) -> None:
        offset, elements = self._chunk(chunk, count, dtype)
        if elements:
            source = self._arenas.previous + FLAGS_BYTES + offset
            size_bytes = elements * NUMPY[dtype].itemsize
            self.plugin.call("copy", self.fused + offset, source, size_bytes, self.stream)

    def _chunk(self, chunk: int, count: int, dtype: Dtype) -> tuple[int, int]:
        """Offset in bytes and elements of a chunk; numbers go round."""
        item_bytes = NUMPY[dtype].itemsize
        quantum = _ALIGN_BYTES // item_bytes

        def bound(number: int) -> int:
            return (
                count if number == self.size else count * number // self.size // quantum * quantum
            )

        begin, end = bound(chunk % self.size), bound(chunk % self.size + 1)
        return begin * item_bytes, end - begin

    def _signal(self, value: int) -> None:
        given_up = self._arenas.own + _HAS_GIVEN_UP
        words = (self._peers, len(self._peers), value & 0xFFFFFFFF)
        self.plugin.call("signal", *words, given_up, self.stream)

    def _wait(self, word: int, value: int) -> None:
        self.plugin.wait_flag(self._arenas.own + word, value, self.stream)
