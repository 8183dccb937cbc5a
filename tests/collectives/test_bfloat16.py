"""bfloat16, which NumPy neither has nor exports: what may stand for it, and what may not."""

import ml_dtypes
import numpy as np
import pytest

import ringsync as rs
from ringsync import _native
from ringsync.errors import ConfigError


def test_a_group_mixes_bfloat16_with_other_dtypes():
    xs = [np.full(3, 2, dtype) for dtype in (ml_dtypes.bfloat16, np.float32, np.int8)]
    for x, found in zip(xs, rs.grouped_allreduce(xs, op=rs.Sum), strict=True):
        assert found.dtype == x.dtype
        np.testing.assert_array_equal(found, x)


def test_registered_bfloat16_is_reduced_in_place():
    x = rs.empty(5, ml_dtypes.bfloat16)
    x[...] = 3
    assert rs.allreduce_(x) is x
    assert (x == 3).all()


@pytest.mark.parametrize("dtype", [ml_dtypes.float8_e5m2, ml_dtypes.int4], ids=str)
def test_other_dtypes_of_ml_dtypes_are_refused(dtype):
    with pytest.raises(ConfigError, match="is not supported"):
        rs.allreduce(np.zeros(3, dtype))


def test_only_uint16_may_stand_for_bfloat16():
    for values, number in ((np.ones(3), 9), (np.ones(3, np.uint16), 3)):
        with pytest.raises(ConfigError, match="only uint16 may stand for another, bfloat16"):
            _native.reduce_with("plain", [(values[:], number, values)], op=1)


@pytest.mark.parametrize("owner", [None, "text", np.ones(3, np.uint16)], ids=repr)
def test_bits_without_the_array_that_owns_them_are_refused(owner):
    with pytest.raises(ConfigError, match="'tuple' is no array"):
        rs.allreduce_((np.ones(3, np.uint16), 9, owner))
