"""Min, Max and Product: what NumPy computes, alike on every rank, wherever the values lie."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ringsync as rs
from ringsync.errors import MismatchError

from ..ranks import Op, world

DTYPES = [np.dtype(name) for name in ("float32", "float64", "int32", "int64")]
OF_NUMPY = {Op.MIN: np.minimum, Op.MAX: np.maximum, Op.PRODUCT: np.multiply}
MEMORY = ("private", "registered")

ops = st.sampled_from(list(OF_NUMPY))
extremes = pytest.mark.parametrize("op", [Op.MIN, Op.MAX])


def small_integers(seed, n, count, dtype):
    """Values whose products are exact in every dtype, in whatever order they are multiplied."""
    random = np.random.default_rng(seed)
    return [random.integers(-9, 10, count).astype(dtype) for _ in range(n)]


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
@pytest.mark.parametrize("dtype", DTYPES[:2], ids=str)
@pytest.mark.parametrize("count", [1, 5000])
def test_nan_on_any_rank_is_the_least_and_the_greatest(worlds, op, holder, dtype, count):
    inputs = [np.full(count, -np.inf if rank == 0 else np.inf, dtype) for rank in range(3)]
    inputs[holder][:] = np.nan
    assert np.isnan(reduced(worlds.of(3, "inproc"), inputs, op)).all()


@extremes
@pytest.mark.parametrize("holder", range(3))
@pytest.mark.parametrize("odd", [0.0, -0.0], ids=repr)
@pytest.mark.parametrize("dtype", DTYPES[:2], ids=str)
def test_negative_zero_is_below_zero(worlds, op, holder, odd, dtype):
    inputs = [np.full(100, odd if rank == holder else -odd, dtype) for rank in range(3)]
    found = reduced(worlds.of(3, "inproc"), inputs, op)
    assert (found == 0).all()
    assert (np.signbit(found) == (op == Op.MIN)).all()


@pytest.mark.parametrize("op", [rs.Sum, rs.Min, rs.Max, rs.Product])
def test_an_op_that_differs_names_both_ranks_and_both_ops(op):
    def work(rank):
        rank.allreduce(np.ones(3), name="w", op=op if rank.rank == 1 else rs.Average)

    with world(2) as ranks:
        for error in ranks.errors(work, MismatchError):
            assert f"'w': rank 1 asked for {op.name}, rank 0 Average" in str(error)
