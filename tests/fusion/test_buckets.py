"""Buckets are a pure function of sizes: ordered, complete, within limits, several if possible."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync import _native

tensor_sizes = st.lists(st.one_of(st.just(0), st.integers(0, 100), st.integers(0, 2**40)))
limits = st.one_of(st.integers(0, 100), st.integers(0, 2**40))
leasts = st.integers(0, 9)


@given(sizes=tensor_sizes, limit=limits, least=leasts)
def test_every_tensor_is_in_one_bucket_and_the_order_is_kept(sizes, limit, least):
    buckets = _native.assign_buckets(sizes, limit, least)
    assert [index for bucket in buckets for index in bucket] == list(range(len(sizes)))
    assert all(buckets)


@given(sizes=tensor_sizes, limit=limits, least=leasts)
def test_a_bucket_beyond_the_limit_holds_one_tensor_with_bytes(sizes, limit, least):
    for bucket in _native.assign_buckets(sizes, limit, least):
        if sum(sizes[i] for i in bucket) > limit:
            assert sum(1 for i in bucket if sizes[i] > 0) == 1


@given(sizes=tensor_sizes, limit=limits, least=st.integers(1, 9))
def test_there_are_as_many_buckets_as_wanted_where_tensors_are_small(sizes, limit, least):
    buckets = _native.assign_buckets(sizes, limit, least)
    if sizes and 0 < max(sizes) <= sum(sizes) // least:
        assert len(buckets) >= least


@given(sizes=tensor_sizes, limit=limits, least=leasts)
def test_no_two_neighbours_would_have_fitted_together(sizes, limit, least):
    lowered = min(limit, sum(sizes) // max(least, 1))
    buckets = _native.assign_buckets(sizes, limit, least)
    for bucket, following in itertools.pairwise(buckets):
        assert sum(sizes[i] for i in bucket) + sizes[following[0]] > lowered


@given(sizes=tensor_sizes, limit=limits, least=leasts)
def test_equal_sizes_give_equal_buckets(sizes, limit, least):
    first = _native.assign_buckets(sizes, limit, least)
    assert _native.assign_buckets(list(sizes), limit, least) == first


def test_the_lenet_has_three_buckets():
    sizes = [4 * count for count in (850, 10164, 48120, 2416, 156)]
    assert len(_native.assign_buckets(sizes, 8 * 2**20, 3)) >= 3


def test_no_tensors_need_no_bucket():
    assert _native.assign_buckets([], 100, 3) == []


def test_a_negative_size_is_refused():
    with pytest.raises(TypeError):
        _native.assign_buckets([-1], 100, 3)
