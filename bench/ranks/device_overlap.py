"""One rank of `bench.gpu overlap`: matrix products as a backward pass, and sums of their results.

Each half alone, and both as a step does them: a gradient is on its way while the next one is made.
"""

from __future__ import annotations

import cupy
import numpy as np

import ringsync as rs
from bench.device.overlap import Task
from bench.measure import time_together
from bench.rank import Rank
from bench.series import Series

_WARM_UPS = 3


class _Step:
    """Gradients, and what they are made of."""

    def __init__(self, task: Task) -> None:
        shape = (task.batch, task.width)
        self.activations, self.errors = (cupy.ones(shape, np.float32) for _ in range(2))
        square = (task.width, task.width)
        self.gradients = [cupy.empty(square, np.float32) for _ in range(task.layers)]

    def backward(self) -> None:
        for gradient in self.gradients:
            cupy.matmul(self.activations.T, self.errors, out=gradient)
        _finish()

    def exchange(self) -> None:
        for handle in [rs.allreduce_async_(gradient) for gradient in self.gradients]:
            handle.wait()
        _finish()

    def both(self) -> None:
        handles = []
        for gradient in self.gradients:
            cupy.matmul(self.activations.T, self.errors, out=gradient)
            handles.append(rs.allreduce_async_(gradient))
        for handle in handles:
            handle.wait()
        _finish()


def main() -> None:
    """Measure and deliver."""
    rank = Rank()
    task = Task(**rank.read_task())
    step = _Step(task)
    calls = {"backward": step.backward, "exchange": step.exchange, "both": step.both}
    times_ns: dict[str, list[int]] = {name: [] for name in calls}
    # In turn, because the device's clock changes.
    for turn in range(_WARM_UPS + task.count):
        for name, call in calls.items():
            found = time_together(call, _finish, rank.barrier, 1)
            times_ns[name] += found if turn >= _WARM_UPS else []
    rank.deliver([Series(name, rank.slowest_s(times)) for name, times in times_ns.items()])


def _finish() -> None:
    """Nothing of what came before is still on the device's way."""
    cupy.cuda.Device().synchronize()


if __name__ == "__main__":
    main()
