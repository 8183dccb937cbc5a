"""What several benchmarks of pytest-benchmark need."""

from collections.abc import Iterator

import pytest

import ringsync as rs


@pytest.fixture(scope="module")
def world_of_one() -> Iterator[None]:
    """Run an engine."""
    rs.init()
    yield
    rs.shutdown()
