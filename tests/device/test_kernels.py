"""Kernels differ in speed alone: all that this processor runs give equal bits."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync import _native
from ringsync.arrays import as_native
from ringsync.errors import ConfigError

from ..ranks import Op

KERNELS = _native.kernel_names()
FLOATS = [np.dtype(name) for name in ("float16", "float32", "float64", ml_dtypes.bfloat16)]
INTEGERS = [np.dtype(name) for name in ("int8", "int16", "int32", "int64", "uint8")]

kernels = st.sampled_from(KERNELS)
dtypes = st.sampled_from([*FLOATS, *INTEGERS])
ops = st.sampled_from(list(Op))
# Around vectors of every width, and beyond the blocks that partial results are kept in.
counts = st.integers(0, 300) | st.integers(4000, 9000)


def any_bits(seed, n, count, dtype):
    """Every value there is: infinities, NaNs, subnormals, both zeros, extremes."""
    random = np.random.default_rng(seed)
    inputs = random.integers(0, 256, (n, count * dtype.itemsize), np.uint8).view(dtype)
    if dtype in FLOATS:
        special = np.array(
            [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, ml_dtypes.finfo(dtype).tiny], dtype
        )
        places = random.random(inputs.shape) < 0.3
        inputs[places] = random.choice(special, np.count_nonzero(places))
    return list(inputs)


def bits_of(array):
    """What must be equal: all bits, but only one NaN."""
    if array.dtype in FLOATS:
        with np.errstate(invalid="ignore"):  # a signalling NaN is one as well
            array = np.where(np.isnan(array), array.dtype.type(np.nan), array)
    return array.tobytes()


@given(
    kernel=kernels, dtype=dtypes, op=ops, n=st.integers(1, 4), count=counts,
    divisor=st.integers(1, 5), seed=st.integers(0, 999), data=st.data(),
)  # fmt: skip
def test_every_kernel_gives_the_bits_of_the_plain_one(
    kernel, dtype, op, n, count, divisor, seed, data
):
    destinations = data.draw(st.integers(1, n))
    inputs = any_bits(seed, n, count, dtype)
    how = {"op": int(op), "divisor": divisor, "destinations": destinations}
    views = [as_native(x) for x in inputs]
    found = [x.view(dtype) for x in _native.reduce_with(kernel, views, **how)]
    assert {x.tobytes() for x in found} == {found[0].tobytes()}
    plain = _native.reduce_with("plain", views, **how)
    assert bits_of(found[0]) == bits_of(plain[0].view(dtype))


@pytest.mark.parametrize("kernel", KERNELS)
@given(count=counts, seed=st.integers(0, 999), n=st.integers(1, 8))
def test_an_average_of_floats_is_the_sum_times_one_over_n(kernel, count, seed, n):
    random = np.random.default_rng(seed)
    inputs = list(random.standard_normal((n, count), np.float32))
    total = inputs[0]
    for x in inputs[1:]:
        total = total + x
    (found,) = _native.reduce_with(kernel, inputs, op=int(Op.AVERAGE), divisor=n)
    np.testing.assert_array_equal(found.view(np.float32), total * np.float32(1 / n))


@pytest.mark.parametrize("kernel", KERNELS)
def test_any_integer_is_divided_truly_and_truncated(kernel):
    for dtype in INTEGERS:
        limits = np.iinfo(dtype)
        values = np.array([limits.min, limits.min + 1, 0, 1, 2, limits.max - 1, limits.max], dtype)
        for divisor in (1, 2, 3, 7, 100, 2**31 - 1):
            expected = [abs(int(v)) // divisor * (1 if v > 0 else -1) for v in values]
            (found,) = _native.reduce_with(kernel, [values], op=int(Op.AVERAGE), divisor=divisor)
            assert found.view(dtype).tolist() == expected


def test_plain_loops_are_always_there():
    assert KERNELS[-1] == "plain"
    assert len(set(KERNELS)) == len(KERNELS)


def test_an_unknown_kernel_and_too_many_destinations_are_refused():
    with pytest.raises(ConfigError, match=r"'mmx' is none that this processor runs"):
        _native.reduce_with("mmx", [np.ones(3)], op=int(Op.SUM))
    with pytest.raises(ConfigError, match="1 inputs hold no 2 results"):
        _native.reduce_with("plain", [np.ones(3)], op=int(Op.SUM), destinations=2)
    with pytest.raises(ConfigError, match="input 1 differs"):
        _native.reduce_with("plain", [np.ones(3), np.ones(4)], op=int(Op.SUM))


@given(kernel=kernels, dtype=dtypes, count=counts, start=st.integers(0, 70),
       seed=st.integers(0, 999))  # fmt: skip
def test_a_copy_past_the_caches_is_a_copy(kernel, dtype, count, start, seed):
    (source,) = any_bits(seed, 1, count, dtype)
    target = np.full(start + count + 1, 7, dtype)
    place = target[start : start + count]
    _native.copy_past_caches(as_native(place), as_native(source), kernel)
    assert place.tobytes() == source.tobytes()
    assert (target[:start] == 7).all()
    assert target[start + count] == 7


def test_a_copy_between_unlike_arrays_is_refused():
    with pytest.raises(ConfigError, match=r"12 bytes cannot be copied to an array of 16"):
        _native.copy_past_caches(np.zeros(4, np.float32), np.zeros(3, np.float32))
