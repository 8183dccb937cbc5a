"""Ops and dtypes: what NumPy computes, alike on every rank, wherever the values lie."""

import functools

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ringsync as rs
from ringsync.errors import MismatchError

from ..ranks import Op, world

FLOATS = [np.dtype(name) for name in ("float16", "float32", "float64")]
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
INTEGERS = [np.dtype(name) for name in ("int8", "int16", "int32", "int64", "uint8")]
DTYPES = [*FLOATS, BFLOAT16, *INTEGERS]
OF_NUMPY = {
    Op.SUM: np.add, Op.MIN: np.minimum, Op.MAX: np.maximum, Op.PRODUCT: np.multiply,
}  # fmt: skip
MEMORY = ("private", "registered")

ops = st.sampled_from(list(OF_NUMPY))
extremes = pytest.mark.parametrize("op", [Op.MIN, Op.MAX])


def small_integers(seed, n, count, dtype):
    """Products are exact or wrap, in every dtype and in whatever order they are multiplied."""
    random = np.random.default_rng(seed)
    return [random.integers(-4, 5, count).astype(dtype) for _ in range(n)]


def reduced(ranks, inputs, op, memory="private"):
    """The result, which has the same bits on every rank."""

    def work(rank):
        values = inputs[rank.rank]
        array = rank.registered(values) if memory == "registered" else values.copy()
        return rank.allreduce(array, op=op).copy()

    results = ranks.each(work)
    assert {result.tobytes() for result in results} == {results[0].tobytes()}
    return results[0]


@given(
    n=st.integers(1, 5), count=st.integers(0, 5000), dtype=st.sampled_from(DTYPES), op=ops,
    memory=st.sampled_from(MEMORY), seed=st.integers(0, 99),
)  # fmt: skip
def test_every_op_equals_numpy_and_has_the_same_bits_on_all_ranks(
    worlds, n, count, dtype, op, memory, seed
):
    inputs = small_integers(seed, n, count, dtype)
    found = reduced(worlds.of(n, "inproc"), inputs, op, memory)
    np.testing.assert_array_equal(found, functools.reduce(OF_NUMPY[op], inputs))


@extremes
@pytest.mark.parametrize("holder", range(3))
@pytest.mark.parametrize("dtype", [*FLOATS, BFLOAT16], ids=str)
@pytest.mark.parametrize("count", [1, 5000])
def test_nan_on_any_rank_is_the_least_and_the_greatest(worlds, op, holder, dtype, count):
    inputs = [np.full(count, -np.inf if rank == 0 else np.inf, dtype) for rank in range(3)]
    inputs[holder][:] = np.nan
    assert np.isnan(reduced(worlds.of(3, "inproc"), inputs, op)).all()


@extremes
@pytest.mark.parametrize("holder", range(3))
@pytest.mark.parametrize("odd", [0.0, -0.0], ids=repr)
@pytest.mark.parametrize("dtype", [*FLOATS, BFLOAT16], ids=str)
def test_negative_zero_is_below_zero(worlds, op, holder, odd, dtype):
    inputs = [np.full(100, odd if rank == holder else -odd, dtype) for rank in range(3)]
    found = reduced(worlds.of(3, "inproc"), inputs, op)
    assert (found == 0).all()
    assert (np.signbit(found) == (op == Op.MIN)).all()


@given(n=st.integers(1, 5), count=st.integers(0, 5000), dtype=st.sampled_from(INTEGERS),
       memory=st.sampled_from(MEMORY), seed=st.integers(0, 99))  # fmt: skip
def test_integers_wrap_and_their_average_truncates(worlds, n, count, dtype, memory, seed):
    random = np.random.default_rng(seed)
    limits = np.iinfo(dtype)
    inputs = [random.integers(limits.min, limits.max, count, dtype) for _ in range(n)]
    ranks = worlds.of(n, "inproc")
    total = functools.reduce(np.add, inputs)
    np.testing.assert_array_equal(reduced(ranks, inputs, Op.SUM, memory), total)
    quotient = np.abs(total.astype(object)) // n * np.sign(total.astype(object))
    found = reduced(ranks, inputs, Op.AVERAGE, memory)
    np.testing.assert_array_equal(found, quotient.astype(dtype))


@pytest.mark.parametrize(("op", "expected"), [(Op.MIN, np.logical_and), (Op.MAX, np.logical_or)])
@pytest.mark.parametrize("memory", MEMORY)
def test_the_extremes_of_truth_values_are_all_and_any(worlds, op, expected, memory):
    random = np.random.default_rng(0)
    inputs = [random.integers(0, 2, 5000).astype(bool) for _ in range(3)]
    found = reduced(worlds.of(3, "inproc"), inputs, op, memory)
    np.testing.assert_array_equal(found, functools.reduce(expected, inputs))


def test_every_float16_survives_and_is_halved_to_nearest_even(worlds):
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    ranks = worlds.of(2, "inproc")
    found = reduced(ranks, [every, every], Op.AVERAGE)
    np.testing.assert_array_equal(found, every)
    found = reduced(ranks, [every, np.zeros_like(every)], Op.AVERAGE)
    with np.errstate(invalid="ignore"):  # of signalling NaNs
        expected = (every.astype(np.float32) / 2).astype(np.float16)
    np.testing.assert_array_equal(found, expected)


@given(seed=st.integers(0, 999), exponent=st.integers(-30, 15))
def test_a_float16_sum_of_two_is_rounded_as_numpy_rounds(worlds, seed, exponent):
    random = np.random.default_rng(seed)
    inputs = [np.ldexp(random.uniform(-1, 1, 500), exponent).astype(np.float16) for _ in range(2)]
    for op, combine in ((Op.SUM, np.add), (Op.PRODUCT, np.multiply)):
        with np.errstate(over="ignore", invalid="ignore"):
            expected = combine(*(x.astype(np.float32) for x in inputs)).astype(np.float16)
        found = reduced(worlds.of(2, "inproc"), inputs, op)
        np.testing.assert_array_equal(found, expected)


@given(seed=st.integers(0, 999), exponent=st.integers(-140, 127))
def test_a_bfloat16_sum_of_two_is_rounded_as_ml_dtypes_rounds(worlds, seed, exponent):
    random = np.random.default_rng(seed)
    inputs = [np.ldexp(random.uniform(-1, 1, 500), exponent).astype(BFLOAT16) for _ in range(2)]
    for op, combine in ((Op.SUM, np.add), (Op.PRODUCT, np.multiply)):
        with np.errstate(over="ignore", under="ignore"):
            expected = combine(*(x.astype(np.float32) for x in inputs)).astype(BFLOAT16)
        found = reduced(worlds.of(2, "inproc"), inputs, op)
        assert found.tobytes() == expected.tobytes()


def test_every_bfloat16_survives_and_is_halved_to_nearest_even(worlds):
    every = np.arange(1 << 16, dtype=np.uint16).view(BFLOAT16)
    ranks = worlds.of(2, "inproc")
    found = reduced(ranks, [every, np.zeros_like(every)], Op.AVERAGE)
    with np.errstate(invalid="ignore"):  # of signalling NaNs
        expected = (every.astype(np.float32) / 2).astype(BFLOAT16)
    np.testing.assert_array_equal(found.astype(np.float32), expected.astype(np.float32))


def test_bfloat16_is_rounded_once_for_all_sources(worlds):
    # Each 1 alone would be lost beside 256, whose neighbour is 258.
    inputs = [np.full(3, value, BFLOAT16) for value in (256, 1, 1)]
    assert (reduced(worlds.of(3, "inproc"), inputs, Op.SUM) == 258).all()


def test_float16_is_rounded_once_for_all_sources(worlds):
    # Each 1 alone would be lost beside 2048, whose neighbour is 2050.
    inputs = [np.full(3, value, np.float16) for value in (2048, 1, 1)]
    assert (reduced(worlds.of(3, "inproc"), inputs, Op.SUM) == 2050).all()


@pytest.mark.parametrize("op", [rs.Sum, rs.Min, rs.Max, rs.Product])
def test_an_op_that_differs_names_both_ranks_and_both_ops(op):
    def work(rank):
        rank.allreduce(np.ones(3), name="w", op=op if rank.rank == 1 else rs.Average)

    with world(2) as ranks:
        for error in ranks.errors(work, MismatchError):
            assert f"'w': rank 1 asked for {op.name}, rank 0 Average" in str(error)
