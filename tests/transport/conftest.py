"""Worlds of threads that the tests of a module share."""

from collections.abc import Iterator

import pytest

from ..ranks import Worlds


@pytest.fixture(scope="module")
def worlds() -> Iterator[Worlds]:
    made = Worlds()
    yield made
    made.close()
