"""What a call costs on its way through the door and back, with nobody to wait for.

One process, one rank: whatever is left is overhead.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import ringsync as rs

_COUNT = 256  # 1 KiB: large enough to be a gradient, small enough to cost nothing itself

Values = npt.NDArray[np.float32]

pytestmark = pytest.mark.usefixtures("world_of_one")


@pytest.fixture(params=["private", "registered"])
def make_values(request: pytest.FixtureRequest) -> Callable[[], Values]:
    """Make small arrays of zeros."""
    if request.param == "registered":
        return lambda: rs.empty(_COUNT)
    return lambda: np.zeros(_COUNT, np.float32)


def test_barrier(benchmark: BenchmarkFixture) -> None:
    """The shortest call there is."""
    benchmark(rs.barrier)


def test_blocking_allreduce(benchmark: BenchmarkFixture, make_values: Callable[[], Values]) -> None:
    """On the caller's thread."""
    benchmark(rs.allreduce_, make_values(), op=rs.Sum)


def test_submit_and_wait(benchmark: BenchmarkFixture, make_values: Callable[[], Values]) -> None:
    """To the engine's thread and back: two wake-ups, unless it is awake."""
    values = make_values()
    benchmark(lambda: rs.allreduce_async_(values, op=rs.Sum).wait())


def test_submit_of_many_and_wait(
    benchmark: BenchmarkFixture, make_values: Callable[[], Values]
) -> None:
    """A hundred in flight; a wake-up is shared by those that follow closely."""
    arrays = [make_values() for _ in range(100)]

    def submit_and_wait() -> None:
        for handle in [rs.allreduce_async_(array, op=rs.Sum) for array in arrays]:
            handle.wait()

    benchmark(submit_and_wait)
