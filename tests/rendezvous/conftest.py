"""Jobs of real processes, ended with the test whatever became of them."""

from collections.abc import Iterator

import pytest

from ..processes.job import Jobs


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs()
    yield made
    made.close()
