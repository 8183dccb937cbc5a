"""How fast this device copies its own memory: what all other figures are held against.

The best of the driver's copy and of plain kernels counts, at the very size that is asked for.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

from bench.device.plugin import Plugin
from bench.device.timing import Stopwatch, rotation

_ALIGN_BYTES = 256
# Name, streaming accesses, blocks at most: as many as there is work for, and 4 for each of some 132
# multiprocessors.
_KERNELS = (("plain", 0, 0), ("streaming", 1, 0), ("resident", 0, 528))


class Ceiling:
    """Copies of one device, measured when asked for and kept."""

    def __init__(self, stopwatch: Stopwatch, kernels: Path | None) -> None:
        """Load the kernels.

        Args:
            stopwatch: Of the device.
            kernels: The library made of copy.cu; None measures the driver's copy alone.
        """
        self._stopwatch = stopwatch
        self._plugin: Plugin = stopwatch.plugin
        self._library = ctypes.CDLL(str(kernels)) if kernels else None
        self._found: dict[int, dict[str, float]] = {}

    def best_us(self, traffic_bytes: float) -> float:
        """Time of the fastest copy that reads and writes this much in all."""
        return min(self.all_us(int(traffic_bytes / 2)).values())

    def all_us(self, size_bytes: int) -> dict[str, float]:
        """Times of all ways to copy `size_bytes`, by name."""
        size_bytes = max(_ALIGN_BYTES, size_bytes // _ALIGN_BYTES * _ALIGN_BYTES)
        if size_bytes not in self._found:
            self._found[size_bytes] = self._measure(size_bytes)
        return self._found[size_bytes]

    def _measure(self, size_bytes: int) -> dict[str, float]:
        plugin, turns = self._plugin, rotation(2 * size_bytes)
        source, target = (plugin.allocate(size_bytes * turns) for _ in range(2))
        plugin.call("fill", source, 1, size_bytes * turns, 0)
        plugin.call("synchronize_stream", 0)

        def timed(copy: Callable[[int, int], None]) -> float:
            def run(turn: int) -> None:
                offset = turn % turns * size_bytes
                copy(target + offset, source + offset)

            return self._stopwatch.time(run).device_us

        stream = self._stopwatch.stream
        found = {"driver": timed(lambda to, of: plugin.call("copy", to, of, size_bytes, stream))}
        for name, is_streaming, most in _KERNELS if self._library else ():
            found[name] = timed(self._kernel(size_bytes, is_streaming, most))
        for memory in (source, target):
            plugin.call("release", memory)
        return found

    def _kernel(self, size_bytes: int, is_streaming: int, most: int) -> Callable[[int, int], None]:
        library, stream = self._library, ctypes.c_void_p(self._stopwatch.stream)
        size = ctypes.c_size_t(size_bytes)

        def copy(to: int, source: int) -> None:
            if library is None:
                return
            error = library.plain_copy(
                ctypes.c_void_p(to), ctypes.c_void_p(source), size, is_streaming, most, stream
            )
            if error:
                raise RuntimeError(f"[copy] CUDA error {error}.")

        return copy
