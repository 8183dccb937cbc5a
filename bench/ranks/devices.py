"""One rank of `bench.gpu collectives`: allreduces of CuPy's arrays, small ones by the host.

Beside them, of the same size: the copies to the host and back alone, and the allreduce of memory of
the host that the ranks share. In a world of one, what wrapping costs a training step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import cupy
import numpy as np

import ringsync as rs
from bench.device.collectives import Task
from bench.measure import collector_paused, time_together
from bench.rank import Rank
from bench.series import Fact, Series

# Of a multilayer perceptron: a step takes some milliseconds, as a small network's does.
_WIDTHS = (1024, 4096, 4096, 1024)
_BATCH = 2048
_IN_FLIGHT = 8


def main() -> None:
    """Measure and deliver."""
    rank = Rank()
    task = Task(**rank.read_task())
    cases = _steps() if rank.size == 1 else _sums(task.sizes_bytes)
    series = []
    with collector_paused():
        for name, size_bytes, call in cases:
            for _ in range(3):
                call()
            times_ns = time_together(call, _finish, rank.barrier, task.count)
            facts: dict[str, Fact] = {"bytes": size_bytes, "call": name}
            series.append(Series(f"{name}-{size_bytes}", rank.slowest_s(times_ns), facts))
    rank.deliver(series)


def _finish() -> None:
    """Nothing of what came before is still on the device's way."""
    cupy.cuda.Device().synchronize()


Case = tuple[str, int, Callable[[], object]]


def _sums(sizes_bytes: Sequence[int]) -> Iterator[Case]:
    for size_bytes in sizes_bytes:
        count = size_bytes // 4
        there, here = cupy.zeros(count, cupy.float32), rs.empty(count, np.float32)
        pinned = cupy.cuda.alloc_pinned_memory(size_bytes)
        stream = cupy.cuda.Stream(non_blocking=True)
        many = [cupy.zeros(count, cupy.float32) for _ in range(_IN_FLIGHT)]
        yield "copies alone", size_bytes, partial(_copy_back_and_forth, there, pinned, stream)
        yield "allreduce_ on the host", size_bytes, partial(rs.allreduce_, here, op=rs.Sum)
        yield "allreduce_", size_bytes, partial(rs.allreduce_, there, op=rs.Sum)
        yield f"{_IN_FLIGHT} in flight", size_bytes, partial(_sum_side_by_side, many)


def _copy_back_and_forth(there: Any, pinned: Any, stream: Any) -> None:  # noqa: ANN401 - CuPy's
    copy, size = cupy.cuda.runtime.memcpyAsync, there.nbytes
    copy(pinned.ptr, there.data.ptr, size, cupy.cuda.runtime.memcpyDeviceToHost, stream.ptr)
    copy(there.data.ptr, pinned.ptr, size, cupy.cuda.runtime.memcpyHostToDevice, stream.ptr)
    stream.synchronize()


def _sum_side_by_side(many: Sequence[Any]) -> None:
    for handle in [rs.allreduce_async_(x, op=rs.Sum) for x in many]:
        handle.wait()


def _steps() -> Iterator[Case]:
    generator = cupy.random.default_rng(0)
    weights = [
        generator.standard_normal(shape, dtype=cupy.float32) / 64 for shape in pairwise(_WIDTHS)
    ]
    x = generator.standard_normal((_BATCH, _WIDTHS[0]), dtype=cupy.float32)

    def step(exchange: Callable[[list[Any]], object]) -> None:
        layers = [x]
        for weight in weights:
            layers.append(cupy.maximum(layers[-1] @ weight, 0))
        gradient, gradients = layers[-1], []
        for weight, before in zip(reversed(weights), reversed(layers[:-1]), strict=True):
            gradients.append(before.T @ gradient)
            gradient = (gradient @ weight.T) * (before > 0)
        exchange(gradients)
        for at, one in enumerate(reversed(gradients)):
            weights[at] -= 1e-9 * one
        cupy.cuda.Device().synchronize()

    # In turn, because the device's clock changes.
    for turn in range(3):
        yield f"plain step {turn}", 0, lambda: step(lambda _: None)
        yield f"wrapped step {turn}", 0, lambda: step(rs.grouped_allreduce_)


if __name__ == "__main__":
    main()
