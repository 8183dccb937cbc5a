"""Jobs of real processes, ended with the test whatever became of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..processes.job import Jobs


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs()
    yield made
    made.close()


@pytest.fixture
def place(jobs: Jobs) -> Path:
    """Where to meet; nothing is there yet."""
    return jobs.tmpdir / "d"
