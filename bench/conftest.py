"""What several benchmarks of one process need.

Those of several ranks are programs, and take nothing from here.
"""

from collections.abc import Iterator

import pytest

import ringsync as rs


@pytest.fixture(scope="module")
def world_of_one() -> Iterator[None]:
    """An engine that waits for nobody, for all benchmarks of a file."""
    rs.init()
    yield
    rs.shutdown()
