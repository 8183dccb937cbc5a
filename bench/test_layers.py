"""What the layers of a small network cost, forward and backward.

One process, no ranks; sizes are those of the examples: 64 pictures of 8 x 8.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import threadpoolctl  # type: ignore[import-untyped]  # it ships no annotations
from pytest_benchmark.fixture import BenchmarkFixture

import ringsync as rs
from ringsync import nn
from ringsync.autograd import Tensor, no_grad

_BATCH, _CHANNELS, _IMAGE, _CLASSES = 64, 6, 8, 10

Pictures = npt.NDArray[np.float32]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Compute as a rank does that has one core to itself."""
    with threadpoolctl.threadpool_limits(limits=1):
        yield


@pytest.fixture
def generator() -> np.random.Generator:
    """Draw the same numbers in every run."""
    return np.random.default_rng(0)


@pytest.fixture
def conv(generator: np.random.Generator) -> nn.Conv2d:
    """Make the second convolution of a LeNet."""
    layer = nn.Conv2d(_CHANNELS, 16, 5, pad=2)
    layer.reset(generator)
    return layer


@pytest.fixture
def maps(generator: np.random.Generator) -> Pictures:
    """Make what the first convolution gives it."""
    shape = (_BATCH, _CHANNELS, _IMAGE, _IMAGE)
    return generator.standard_normal(shape, np.float32)


def test_conv_forward(benchmark: BenchmarkFixture, conv: nn.Conv2d, maps: Pictures) -> None:
    """Without recording."""
    with no_grad():
        benchmark(conv, maps)


def test_conv_backward(benchmark: BenchmarkFixture, conv: nn.Conv2d, maps: Pictures) -> None:
    """To weights and input; the forward that it needs is not timed."""

    def forward() -> tuple[tuple[Tensor], dict[str, Any]]:
        source = Tensor(maps, requires_grad=True)
        return (conv(source).sum(),), {}

    benchmark.pedantic(  # type: ignore[no-untyped-call]  # it has no annotations
        lambda total: total.backward(), setup=forward, rounds=200, warmup_rounds=5
    )


def test_lenet_step(benchmark: BenchmarkFixture, generator: np.random.Generator) -> None:
    """A whole training step of the example."""
    net = rs.models.lenet()
    optimizer = rs.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    x = generator.random((_BATCH, 1, _IMAGE, _IMAGE), np.float32)
    y = generator.integers(0, _CLASSES, _BATCH)

    def step() -> None:
        optimizer.zero_grad()
        nn.cross_entropy(net(x), y).backward()
        optimizer.step()

    benchmark(step)
