"""What the reducer costs per step besides the exchange: bookkeeping, and packing where it must.

One process, one rank; gradients are a LeNet's, 136,000 numbers in ten tensors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import ringsync as rs
from ringsync.arrays import Array
from ringsync.parallel import GradientReducer
from ringsync.parallel.layout import TensorSpec
from ringsync.parallel.space import HOST, Space

_BUCKET_BYTES = 8 * 2**20

pytestmark = pytest.mark.usefixtures("world_of_one")


class Gradients:
    """Parameters without a framework: each step every gradient lies where it was left."""

    def __init__(self) -> None:
        """Take a LeNet's shapes."""
        self._parameters = rs.models.lenet().parameters()
        self.own = [np.ones_like(parameter.data) for parameter in self._parameters]
        self.current: list[Array | None] = [None] * len(self.own)

    def specs(self) -> Sequence[TensorSpec]:
        """Name the tensors."""
        return [TensorSpec(one.name, one.shape, one.dtype.name) for one in self._parameters]

    def space(self, device: str) -> Space:  # noqa: ARG002  all are on the host
        """Say where gradients live."""
        return HOST

    def values(self) -> Sequence[Array]:
        """Give the parameters."""
        return [one.data for one in self._parameters]

    def gradient(self, index: int) -> Array | None:
        """Give a gradient."""
        return self.current[index]

    def adopt(self, index: int, gradient: Array | None) -> None:
        """Take a gradient's new place."""
        self.current[index] = gradient

    def is_elsewhere(self, index: int) -> bool:  # noqa: ARG002  all are arrays
        """Say that none has another form."""
        return False

    def is_converted(self, index: int) -> bool:  # noqa: ARG002  likewise
        """Say that none had another form."""
        return False


def exchange(reducer: GradientReducer, count: int) -> None:
    """Go through one step, the last tensors first, as backward does."""
    reducer.began()
    for index in reversed(range(count)):
        reducer.final(index)
    reducer.ended()
    reducer.reset()


def make_reducer(gradients: Gradients, name: str) -> GradientReducer:
    """Make a reducer that has checked the ranks' start."""
    reducer = GradientReducer(
        gradients, op=rs.Average, bucket_bytes=_BUCKET_BYTES, accumulate_steps=1, name=name
    )
    exchange(reducer, len(gradients.own))
    return reducer


def test_step_with_gradients_in_place(benchmark: BenchmarkFixture) -> None:
    """Every gradient is already a view of the arena: nothing is packed."""
    gradients = Gradients()
    reducer = make_reducer(gradients, "in-place")
    benchmark(exchange, reducer, len(gradients.own))


def test_step_with_gradients_elsewhere(benchmark: BenchmarkFixture) -> None:
    """Every gradient is another array, so each is copied once and its view put back."""
    gradients = Gradients()
    reducer = make_reducer(gradients, "elsewhere")

    def step() -> None:
        gradients.current[:] = gradients.own
        exchange(reducer, len(gradients.own))

    benchmark(step)


def test_step_without_gradients(benchmark: BenchmarkFixture) -> None:
    """No gradient this step: each view is filled with zeros."""
    gradients = Gradients()
    reducer = make_reducer(gradients, "missing")

    def step() -> None:
        gradients.current[:] = [None] * len(gradients.own)
        exchange(reducer, len(gradients.own))

    benchmark(step)
