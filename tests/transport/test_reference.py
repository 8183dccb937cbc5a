"""An allreduce of any values against a reference that is finer than any of its dtypes."""

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ringsync import _native

from ..ranks import TRANSPORTS, Collective, Op

FLOATS = [np.dtype(name) for name in (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)]
INTEGERS = [np.dtype(name) for name in ("int8", "int16", "int32", "int64", "uint8")]
BOOL = np.dtype(bool)
OF_NUMPY = {
    Op.SUM: np.add, Op.AVERAGE: np.add, Op.MIN: np.minimum, Op.MAX: np.maximum,
    Op.PRODUCT: np.multiply,
}  # fmt: skip
EXTREMES = (Op.MIN, Op.MAX)
ALGORITHMS = (
    "",
    *(
        name
        for name in _native.algorithm_names()
        if _native.applies(name, _native.Problem(Collective.ALLREDUCE, [1]))
    ),
)
# An ulp of x86's long double is 2^11 times less than float64's, and sums of float64 need that.
EXACT = np.longdouble

odd = st.integers(0, 500).map(lambda half: 2 * half + 1)
# The longest ones take the algorithm's way in every dtype, as shorter ones need not.
counts = st.sampled_from([0, 1, 8192, 70_001]) | odd | st.integers(2000, 9000)


def mixed_floats(random, n, count, dtype, op):
    """Magnitudes of which four neither overflow nor, in products, come to be subnormal."""
    greatest = ml_dtypes.finfo(dtype).maxexp
    least = ml_dtypes.finfo(dtype).minexp - ml_dtypes.finfo(dtype).nmant
    low, high = (2 - greatest // 4, greatest // 4) if op is Op.PRODUCT else (least, greatest - 2)
    near = random.integers(low, high)  # where all are as large, sums differ from their parts
    exponents = random.integers(low, high, (n, count)) if random.random() < 0.5 else near
    values = np.ldexp(random.uniform(0.5, 1, (n, count)), exponents)
    return list((values * random.choice([-1, 1], (n, count))).astype(dtype))


def any_values(random, n, count, dtype, op):
    if dtype in FLOATS:
        return mixed_floats(random, n, count, dtype, op)
    if dtype == BOOL:
        return list(random.integers(0, 2, (n, count)).astype(bool))
    limits = np.iinfo(dtype)
    return list(random.integers(limits.min, limits.max, (n, count), dtype, endpoint=True))


def exact(values):
    return values.astype(np.float64).astype(EXACT)  # bfloat16 knows no long double


def require_exact(found, inputs, op):
    """Extremes are one of the inputs; integers wrap in their dtype, and are divided after that."""
    expected = OF_NUMPY[op].reduce(inputs, dtype=found.dtype)
    if op is Op.AVERAGE:
        quotient, rest = np.divmod(expected, len(inputs), dtype=found.dtype)
        expected = quotient + ((rest != 0) & (quotient < 0)).astype(found.dtype)
    np.testing.assert_array_equal(found, expected)


def require_near(found, inputs, op, algorithm):
    """No further from the reference than the roundings that the algorithm makes can lead.

    A rounding moves a value by at most u times itself: u = eps / 2 of the accumulator, which is
    float32 for the 16-bit types and else the dtype. n ranks take n - 1 sums or products, in any
    order, and an average two more: of 1 / n, and of the sum times that. With S, the sum or product
    of the magnitudes, k roundings move the result by at most S ((1 + u)^k - 1).

    A 16-bit type is also rounded, by at most h = eps / 2 of its own: once by "direct" (what is
    carried with an announcement, and what "" comes to), n - 1 times where partial sums travel. All
    but the last count as above, by (1 + h)^(n - 2); the last is half an ulp of the result: at most
    h times it or, below the normal numbers, h times the least of these. Only quotients can come to
    be subnormal and inexact, in any dtype: sums there are multiples of the least number.
    """
    n, own = len(inputs), ml_dtypes.finfo(found.dtype)
    is_short = found.dtype.itemsize == 2
    h = float(own.eps) / 2
    u = float(np.finfo(np.float32).eps) / 2 if is_short else h
    divisor, more = (n, 2) if op is Op.AVERAGE else (1, 0)
    is_partly_short = is_short and n > 1 and algorithm not in ("", "direct")
    short = n - 2 if is_partly_short else 0
    growth = math.expm1((n - 1 + more) * math.log1p(u) + short * math.log1p(h))
    finer = [exact(values) for values in inputs]
    expected = OF_NUMPY[op].reduce(finer) / divisor
    largest = OF_NUMPY[op].reduce(np.abs(finer)) / divisor
    least = EXACT(float(own.smallest_normal))  # half of the least number is too small for float64
    last = h * (np.maximum(np.abs(exact(found)), least) if is_short else least)
    assert (np.abs(exact(found) - expected) <= growth * largest + last).all()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("op", Op)
@given(
    n=st.integers(1, 4), count=counts, dtype=st.sampled_from([*FLOATS, *INTEGERS, BOOL]),
    memory=st.sampled_from(["private", "registered"]), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_any_values_reduce_to_the_reference_within_the_roundings_of_the_algorithm(
    worlds, transport, algorithm, op, n, count, dtype, memory, seed
):
    assume(dtype != BOOL or op in EXTREMES)
    inputs = any_values(np.random.default_rng(seed), n, count, dtype, op)

    def work(rank):
        values = inputs[rank.rank]
        array = rank.registered(values) if memory == "registered" else values.copy()
        return rank.allreduce(array, op=op).copy()

    results = worlds.of(n, transport, algorithm).each(work)
    assert {result.tobytes() for result in results} == {results[0].tobytes()}
    if dtype in FLOATS and op not in EXTREMES:
        require_near(results[0], inputs, op, algorithm)
    else:
        require_exact(results[0], inputs, op)
