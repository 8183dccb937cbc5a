"""What `empty` makes, and what it refuses."""

import numpy as np
import pytest

import ringsync as rs
from ringsync.dtypes import SUPPORTED_DTYPES
from ringsync.errors import ConfigError


@pytest.mark.parametrize("shape", [3, (), (0,), (2, 3), [4, 1]], ids=repr)
@pytest.mark.parametrize("dtype", [name for name in SUPPORTED_DTYPES if name != "bfloat16"])
def test_empty_makes_zeroed_contiguous_arrays_of_any_shape(shape, dtype):
    found = rs.empty(shape, dtype)
    expected = np.zeros(shape, dtype)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert found.flags.c_contiguous
    assert found.flags.writeable
    np.testing.assert_array_equal(found, expected)


def test_empty_takes_numpy_s_own_integers():
    assert rs.empty(np.int64(3)).shape == (3,)
    assert rs.empty((np.int64(2), np.int32(3))).shape == (2, 3)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((-1, 3), "f4"), ("a", "f4"), (2.5, "f4"), (None, "f4"), (("3",), "f4"), ((1,) * 70, "f4"),
        ((0, 2**62), "f4"), (2**60, "f4"), (3, "nope"), (3, "U"), (3, "V0"), (3, ("f4", (2,))),
        (3, object), (b"ab", "f4"), (bytearray(b"ab"), "f4"),
        pytest.param(memoryview(b"ab"), "f4", id="memoryview"),  # str of it has its address
        (3, "f4,,"), (3, "(2,f4"), (2**70, "f4"),
        (3, {"names": ["a"], "formats": ["f4"], "offsets": [2**70]}),
    ],
    ids=str,
)  # fmt: skip
def test_empty_refuses_what_is_no_shape_or_has_no_fixed_size(shape, dtype):
    with pytest.raises(ConfigError, match=r"\[empty\] shape .* cannot be made"):
        rs.empty(shape, dtype)
