"""Which algorithm the prices of registry.cc choose, where it matters which."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync import _native

from ..ranks import Collective

worlds = st.integers(2, 8)
large = st.integers(2**12, 2**40)


@given(n=worlds, count=large, is_in_place=st.booleans())
def test_a_large_allreduce_adds_all_at_once_wherever_arrays_lie(n, count, is_in_place):
    # The sum is rounded once, and no partial sum travels.
    problem = _native.Problem(Collective.ALLREDUCE, [count] * n, 0, is_in_place)
    assert _native.choose(problem) == "direct"


@pytest.mark.parametrize("n", range(2, 9))
@pytest.mark.parametrize("count", [0, 1, 16, 2**20, 2**40])
def test_a_private_broadcast_takes_one_step(n, count):
    # The root writes once, and all others read it there.
    problem = _native.Problem(Collective.BROADCAST, [count] * n)
    assert _native.choose(problem) == "direct_broadcast"


@given(n=worlds, count=st.integers(0, 2**40))
def test_in_place_all_read_the_root_at_once(n, count):
    problem = _native.Problem(Collective.BROADCAST, [count] * n, 0, True)
    assert _native.choose(problem) == "direct_broadcast"
