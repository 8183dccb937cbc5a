"""Times of work on a device: by its own events, many launches between two of them.

A figure is the median of several rounds; launches of a round rotate over as much memory as no cache
holds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.device.plugin import Plugin

# Several times the 50 MB of an H100's and the 60 MB of an H200's second-level cache.
FOOTPRINT_BYTES = 400 * 2**20
_ROUNDS = 5
_ROUND_US = 4000.0  # long against the microsecond or two that events and the first launch take
_MOST_TURNS = 200  # under the thousand or so launches that a stream holds
_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Time:
    """Of one turn.

    Attributes:
        device_us: By the device's events.
        host_us: What the calling thread was busy for.
    """

    device_us: float
    host_us: float


class Stopwatch:
    """Times work on one stream of its own."""

    def __init__(self, plugin: Plugin) -> None:
        """Make stream and events."""
        self.plugin = plugin
        self.stream = plugin.create_stream()
        self._start, self._end = (plugin.create_event(is_timed=True) for _ in range(2))

    def time(self, run: Callable[[int], None], most_turns: int = _MOST_TURNS) -> Time:
        """Time `run`.

        Args:
            run: Puts one turn's work onto the stream; called with the turn's number.
            most_turns: A round has.

        Returns:
            Medians of the rounds.
        """
        self._round(run, 2)  # first calls load code and settle the allocators of others
        rough = self._round(run, 2)
        turns = int(min(most_turns, max(3, _ROUND_US / max(rough.device_us, 1.0))))
        rounds = [self._round(run, turns) for _ in range(_ROUNDS)]
        return Time(
            statistics.median(one.device_us for one in rounds),
            statistics.median(one.host_us for one in rounds),
        )

    def _round(self, run: Callable[[int], None], turns: int) -> Time:
        self.plugin.call("record_event", self._start, self.stream)
        start_s = time.perf_counter()
        for turn in range(turns):
            run(turn)
        host_s = time.perf_counter() - start_s
        self.plugin.call("record_event", self._end, self.stream)
        self.plugin.wait_until(self._end, _LIMIT_S)
        milliseconds = self.plugin.elapsed_ms(self._start, self._end)
        return Time(milliseconds * 1e3 / turns, host_s * 1e6 / turns)


def rotation(footprint_bytes: int) -> int:
    """How many copies of something that large no cache holds together."""
    return max(1, -(-FOOTPRINT_BYTES // max(footprint_bytes, 1)))
