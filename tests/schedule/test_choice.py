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


@pytest.mark.parametrize("n", [32, 64, 128])
def test_among_many_ranks_a_small_sum_is_made_in_few_messages_and_a_large_one_at_once(n):
    chosen = [
        _native.choose(_native.Problem(Collective.ALLREDUCE, [2**k] * n)) for k in range(0, 30, 2)
    ]
    change = chosen.index("direct")
    assert change > 0
    assert set(chosen[:change]) == {"halving_doubling"}
    assert set(chosen[change:]) == {"direct"}


@given(n=st.integers(2, 256), count=st.integers(0, 2**40), is_in_place=st.booleans())
def test_a_sum_of_16_bit_floats_is_rounded_once_however_many_ranks_there_are(n, count, is_in_place):
    problem = _native.Problem(Collective.ALLREDUCE, [count] * n, 0, is_in_place, is_narrow=True)
    assert _native.choose(problem) == "direct"


@pytest.mark.parametrize("n", [16, 128])
def test_among_many_ranks_a_small_registered_array_is_passed_on_and_a_large_one_read(n):
    chosen = [
        _native.choose(_native.Problem(Collective.BROADCAST, [2**k] * n, 0, True))
        for k in range(0, 30, 2)
    ]
    change = chosen.index("direct_broadcast")
    assert change > 0
    assert set(chosen[:change]) == {"tree"}
    assert set(chosen[change:]) == {"direct_broadcast"}


@given(n=worlds, count=st.integers(0, 2**40))
def test_in_place_all_read_the_root_at_once(n, count):
    problem = _native.Problem(Collective.BROADCAST, [count] * n, 0, True)
    assert _native.choose(problem) == "direct_broadcast"
