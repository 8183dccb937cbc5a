"""prescale and postscale: what scaling by hand gives, on every rank, through every algorithm."""

import functools
import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync import _native
from ringsync.errors import ConfigError, MismatchError

from ..ranks import ALGORITHMS, Collective, Op, finish, world

OF_NUMPY = {
    Op.SUM: np.add, Op.AVERAGE: np.add, Op.MIN: np.minimum, Op.MAX: np.maximum,
    Op.PRODUCT: np.multiply,
}  # fmt: skip
FLOATS = [np.dtype(name) for name in ("float16", ml_dtypes.bfloat16, "float32", "float64")]
INTEGERS = [np.dtype(name) for name in ("int8", "int16", "int32", "int64", "uint8")]
ops = st.sampled_from(list(OF_NUMPY))
# Powers of two, so that no dtype rounds and the order of scaling cannot be told from the result.
powers = st.sampled_from([-2.0, -0.5, 0.25, 0.5, 1.0, 2.0])


def by_hand(inputs, op, prescale, postscale):
    scaled = [x.astype(np.float64) * prescale for x in inputs]
    total = functools.reduce(OF_NUMPY[op], scaled) * postscale
    return total / len(inputs) if op is Op.AVERAGE else total


@given(
    n=st.sampled_from([1, 2, 4]), count=st.sampled_from([0, 1, 500, 70_000]), op=ops,
    dtype=st.sampled_from(FLOATS), prescale=powers, postscale=powers, seed=st.integers(0, 99),
    algorithm=st.sampled_from([*ALGORITHMS, "halving_doubling", "direct"]),
    memory=st.sampled_from(["private", "registered"]),
)  # fmt: skip
def test_floats_are_scaled_as_by_hand(
    worlds, n, count, op, dtype, prescale, postscale, seed, algorithm, memory
):
    random = np.random.default_rng(seed)
    inputs = [random.integers(-4, 5, count).astype(dtype) for _ in range(n)]

    def work(rank):
        values = inputs[rank.rank]
        array = rank.registered(values) if memory == "registered" else values.copy()
        return rank.allreduce(array, op=op, prescale=prescale, postscale=postscale).copy()

    expected = by_hand(inputs, op, prescale, postscale)
    for found in worlds.of(n, "inproc", algorithm).each(work):
        np.testing.assert_array_equal(found.astype(np.float64), expected)


@given(n=st.sampled_from([1, 3]), dtype=st.sampled_from(INTEGERS), op=ops, prescale=powers,
       postscale=st.floats(-10, 10), seed=st.integers(0, 99))  # fmt: skip
def test_integers_are_scaled_in_double_truncated_and_kept_in_range(
    worlds, n, dtype, op, prescale, postscale, seed
):
    random = np.random.default_rng(seed)
    inputs = [random.integers(0, 5, 500).astype(dtype) for _ in range(n)]

    def work(rank):
        return rank.allreduce(
            inputs[rank.rank].copy(), op=op, prescale=prescale, postscale=postscale
        )

    turned = {Op.MIN: Op.MAX, Op.MAX: Op.MIN}.get(op, op) if prescale < 0 else op
    total = functools.reduce(OF_NUMPY[turned], inputs)
    factor = (prescale**n if op is Op.PRODUCT else prescale) * postscale
    limits = np.iinfo(dtype)
    divisor = n if op is Op.AVERAGE else 1
    expected = [
        min(max(math.trunc(float(x) * factor / divisor), limits.min), limits.max) for x in total
    ]
    for found in worlds.of(n, "inproc").each(work):
        assert found.tolist() == expected


@pytest.mark.parametrize("kernel", _native.kernel_names())
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_out_of_range_becomes_the_nearest_in_range(kernel, dtype):
    limits = np.iinfo(dtype)
    values = np.array([limits.min, limits.max, 0] * 30, dtype)
    for factor in (1e300, 3.0, math.inf):
        (found,) = _native.reduce_with(kernel, [values], op=int(Op.SUM), factor=factor)
        assert found.view(dtype).tolist() == [limits.min, limits.max, 0] * 30
    (found,) = _native.reduce_with(kernel, [values], op=int(Op.SUM), factor=-1e300)
    assert found.view(dtype).tolist()[:2] == [limits.max if limits.min else 0, limits.min]


def test_scales_reach_every_array_of_a_group(worlds):
    def work(rank):
        arrays = [np.full(4, 2.0), np.full(60_000, 3, np.float32)]
        finish(rank.submit_all(arrays, name="g", prescale=0.5, postscale=3.0))
        return [float(x[-1]) for x in arrays]

    assert worlds.of(2, "inproc").each(work) == [[6.0, 9.0]] * 2


@pytest.mark.parametrize("behind", [0, 3])
@pytest.mark.parametrize("count", [3, 100_000])
def test_scales_that_differ_name_the_tensor_both_ranks_and_both_values(count, behind):
    def work(rank):
        arrays = [np.ones(count) for _ in range(behind)]
        handles = [rank.submit(Collective.ALLREDUCE, array) for array in arrays]
        scales = {"prescale": 0.1, "postscale": 2.0} if rank.rank == 1 else {"postscale": 1.0}
        x = np.ones(count)
        odd = rank.submit(Collective.ALLREDUCE, x, name="w", **scales)
        for handle in handles:
            finish(handle)
        try:
            finish(odd)
        finally:
            assert (x == 1).all()

    with world(2) as ranks:
        for error in ranks.errors(work, MismatchError):
            assert (
                "'w': rank 1 asked for prescale 0.1, postscale 2, rank 0 prescale 1, postscale 1"
                in str(error)
            )
        ranks.require_usable()


def test_truth_values_are_not_scaled():
    def work(rank):
        with pytest.raises(ConfigError, match=r"bool cannot be scaled; .* Leave them out"):
            rank.allreduce(np.ones(3, bool), op=Op.MAX, prescale=2.0)

    with world(2) as ranks:
        ranks.each(work)
        ranks.require_usable()
