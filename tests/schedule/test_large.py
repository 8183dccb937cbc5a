"""Counts beyond 2^31 elements: schedules and their costs are exact, without such arrays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync import _native

from ..ranks import Collective
from .test_proof import KINDS

# Around what 32 bits with and without a sign hold, and far beyond.
LARGE = st.one_of(
    st.sampled_from([2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**33, 2**33 + 7, 2**40 + 1]),
    st.integers(2**31, 2**42),
)


def problem_of(name, n, count, is_in_place):
    return _native.Problem(KINDS[name], [count] * n, 0, is_in_place)


@pytest.mark.parametrize("name", list(KINDS))
@given(n=st.integers(1, 8), count=LARGE, is_in_place=st.booleans())
def test_schedules_of_large_arrays_have_no_race(name, n, count, is_in_place):
    # A truncated offset would fall onto another rank's chunk.
    assert _native.find_race(name, problem_of(name, n, count, is_in_place)) == ""


@pytest.mark.parametrize("name", list(KINDS))
@given(n=st.integers(2, 8), count=LARGE, is_in_place=st.booleans())
def test_a_large_array_costs_what_its_share_of_many_small_ones_costs(name, n, count, is_in_place):
    # Whole multiples of all chunk counts: costs are then proportional to the count.
    unit = 840
    one = _native.cost_elements(name, problem_of(name, n, unit, is_in_place))
    many = count // unit
    assert _native.cost_elements(name, problem_of(name, n, many * unit, is_in_place)) == many * one


@given(n=st.integers(2, 8), kind=st.sampled_from(sorted(set(KINDS.values()))), count=LARGE,
       is_in_place=st.booleans())  # fmt: skip
def test_the_choice_for_large_arrays_does_not_turn_with_their_length(n, kind, count, is_in_place):
    # At these lengths only elements count; an overflow would make the dear one cheap.
    def chosen(elements):
        return _native.choose(_native.Problem(kind, [elements] * n, 0, is_in_place))

    assert chosen(count) == chosen(2**30)


@given(n=st.integers(2, 8), count=LARGE)
def test_an_uneven_allgather_of_large_parts_has_no_race(n, count):
    counts = [count + rank * 2**31 for rank in range(n)]
    problem = _native.Problem(Collective.ALLGATHER, counts)
    assert _native.find_race("direct_allgather", problem) == ""
    assert _native.cost_elements("direct_allgather", problem) == counts[-1]
