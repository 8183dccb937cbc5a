"""A world of one rank, made anew for each module, and jobs of several for what needs them."""

from collections.abc import Iterator

import pytest

import ringsync as rs
from ringsync import config, runtime

from ..processes.job import FOREIGN, Jobs


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process is a world of size 1, whatever started the tests."""
    for name in [name for name in config.os.environ if name.startswith(FOREIGN)]:
        monkeypatch.delenv(name)
    rs.init()
    assert runtime.current().world.size == 1
    yield
    rs.shutdown()


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs()
    yield made
    made.close()
