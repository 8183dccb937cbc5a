"""The one door for arrays: what comes in, what is refused and in which words."""

import array

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import ringsync as rs
from ringsync.errors import ConfigError

OUT_OF_PLACE = {
    "allreduce": rs.allreduce,
    "allreduce_async": rs.allreduce_async,
    "broadcast": rs.broadcast,
    "broadcast_async": rs.broadcast_async,
    "allgather": rs.allgather,
    "allgather_async": rs.allgather_async,
    "alltoall": rs.alltoall,
    "alltoall_async": rs.alltoall_async,
    "reduce_scatter": rs.reduce_scatter,
    "reduce_scatter_async": rs.reduce_scatter_async,
}
IN_PLACE = {
    "allreduce_": rs.allreduce_,
    "allreduce_async_": rs.allreduce_async_,
    "broadcast_": rs.broadcast_,
    "broadcast_async_": rs.broadcast_async_,
}
ALL = OUT_OF_PLACE | IN_PLACE
ROWS = [name for name in ALL if "gather" in name or "scatter" in name or "toall" in name]
SUMS = [name for name in ALL if "reduce" in name]
SUMMABLE = ["float16", "float32", "float64", "int8", "int16", "int32", "int64"]

anywhere = pytest.mark.parametrize("place", ALL)
in_place = pytest.mark.parametrize("place", IN_PLACE)
out_of_place = pytest.mark.parametrize("place", OUT_OF_PLACE)


def result_of(outcome):
    return outcome.result() if isinstance(outcome, rs.Handle) else outcome


class Tensor:
    """A foreign array: it speaks DLPack as of today, and nothing else."""

    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


class OldTensor(Tensor):
    """As libraries were before DLPack 1.0: a capsule without a version."""

    def __dlpack__(self, stream=None):
        return self.values.__dlpack__(stream=stream)


@anywhere
@pytest.mark.parametrize(
    "dtype", ["complex64", "uint16", "uint32", "uint64", "S3", "U2",
              "datetime64[s]", "longdouble", [("a", "f4")]], ids=str,
)  # fmt: skip
def test_an_unsupported_dtype_is_named_with_those_supported(place, dtype):
    with pytest.raises(ConfigError, match=rf"^\[{place}\] dtype .* is not supported; .*float32"):
        ALL[place](np.zeros(3, dtype))


@anywhere
@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i4", ">i8"])
def test_a_foreign_byte_order_is_refused(place, dtype):
    with pytest.raises(ConfigError, match=rf"\[{place}\] dtype {dtype} is not supported"):
        ALL[place](np.zeros(3, dtype))


@anywhere
@pytest.mark.parametrize("x", [None, [1.0, 2.0], (1,), 1.0, 3, "text", {}, np.ma.ones(1)], ids=repr)
def test_what_is_no_array_is_named_by_its_type(place, x):
    told = (
        rf"^\[{place}\] '{type(x).__name__}' is no array that can be used(; a NumPy array, or one "
        r"with __dlpack__ or a buffer, is expected\. Pass, for example, |, because masks)"
    )
    with pytest.raises(ConfigError, match=told):
        ALL[place](x)


@pytest.mark.parametrize(("x", "way_out"), [(2.5, "np.array([2.5])"), ([1.0], "np.asarray(x)")])
def test_what_is_no_array_is_told_in_one_sentence_with_a_way_out(x, way_out):
    with pytest.raises(ConfigError) as told:
        rs.allgather(x)
    assert str(told.value) == (
        f"[allgather] '{type(x).__name__}' is no array that can be used; a NumPy array, or one "
        f"with __dlpack__ or a buffer, is expected. Pass, for example, {way_out}."
    )


@in_place
@pytest.mark.parametrize(
    "x", [(None, 1, np.ones(3)), (None, 256, np.ones(3)), (None, 2**99, 1), (None, -1, 1), (2, 1)]
)
def test_no_tuple_is_taken_for_an_array(place, x):
    with pytest.raises(ConfigError, match=rf"^\[{place}\] 'tuple' is no array"):
        IN_PLACE[place](x)


@in_place
@pytest.mark.parametrize(
    "cut", [np.s_[::2], np.s_[::-1], np.s_[:, 1:2], np.s_[1:, 1:]], ids=["2", "-1", "column", "box"]
)
def test_strides_are_refused_in_place_with_their_values(place, cut):
    x = np.ones((4, 3))[cut]
    with pytest.raises(ConfigError, match=rf"\[{place}\] .*has strides .*which returns its result"):
        IN_PLACE[place](x)


@in_place
def test_fortran_order_is_refused_in_place(place):
    with pytest.raises(ConfigError, match="has strides"):
        IN_PLACE[place](np.asfortranarray(np.ones((2, 3))))


@in_place
@pytest.mark.parametrize(
    "x", [np.frombuffer(b"12345678", np.float32), b"abcd"], ids=["array", "bytes"]
)
def test_read_only_memory_is_refused_in_place_with_a_way_out(place, x):
    way_out = place.rstrip("_")
    with pytest.raises(ConfigError, match=rf"\[{place}\] .*read-only.* use {way_out}\(\)"):
        IN_PLACE[place](x)


@out_of_place
@given(values=npst.arrays(
    st.sampled_from(SUMMABLE), npst.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5),
    elements=st.integers(-9, 9),
))  # fmt: skip
def test_a_world_of_one_returns_equal_values_in_memory_of_their_own(place, values):
    before = values.copy()
    found = result_of(OUT_OF_PLACE[place](values))
    assert (found.shape, found.dtype) == (before.shape, before.dtype)
    np.testing.assert_array_equal(found, before)
    assert not np.shares_memory(found, values)
    found += 1
    np.testing.assert_array_equal(values, before)


@out_of_place
@pytest.mark.parametrize(
    "view",
    [np.s_[::2], np.s_[::-1], np.s_[:, 1], np.s_[1:3, ::2], np.s_[..., None]],
    ids=["2", "-1", "column", "box", "new axis"],
)
def test_strided_and_read_only_arrays_may_be_read(place, view):
    values = np.arange(12.0).reshape(4, 3)
    values.flags.writeable = False
    found = result_of(OUT_OF_PLACE[place](values[view]))
    np.testing.assert_array_equal(found, values[view])
    assert found.flags.c_contiguous
    assert found.flags.writeable


@in_place
def test_in_place_returns_the_array_itself(place):
    x = np.arange(6.0).reshape(2, 3)
    assert result_of(IN_PLACE[place](x)) is x


@pytest.mark.parametrize("place", [name for name in ALL if name not in ROWS])
def test_a_scalar_array_keeps_its_shape(place):
    found = result_of(ALL[place](np.array(2.5)))
    assert found.shape == ()
    assert found == 2.5


@pytest.mark.parametrize("place", ROWS)
def test_a_scalar_has_no_rows_and_the_way_out_is_told(place):
    word = place.removesuffix("_async")
    with pytest.raises(ConfigError, match=rf"\[{word}\] 'unnamed .*: a scalar .*reshape\(1\)"):
        result_of(ALL[place](np.array(2.5)))


@pytest.mark.parametrize("place", ["alltoall", "alltoall_async"])
@pytest.mark.parametrize("splits", [(), (2,), (4,), (1, 2), (-1, 4)], ids=repr)
def test_splits_that_do_not_cut_the_rows_are_refused_with_both(place, splits):
    with pytest.raises(ConfigError, match=rf"\[{place}\] splits=.* do not cut 3 rows; 1 numbers"):
        ALL[place](np.ones((3, 2)), splits)


@pytest.mark.parametrize("splits", [3, (1.5, 1.5), "3"], ids=repr)
def test_splits_that_are_no_whole_numbers_are_refused(splits):
    with pytest.raises(ConfigError, match="a sequence of whole numbers is expected"):
        rs.alltoall(np.ones(3), splits)


@anywhere
def test_arrays_of_other_libraries_come_in_through_dlpack(place):
    values = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(result_of(ALL[place](Tensor(values))), np.arange(5))


def test_dlpack_before_version_1_is_read():
    values = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(rs.allreduce(OldTensor(values)), np.arange(5))


@in_place
def test_dlpack_before_version_1_cannot_say_that_it_may_be_written(place):
    with pytest.raises(ConfigError, match=r"OldTensor of shape .* is read-only"):
        IN_PLACE[place](OldTensor(np.arange(5, dtype=np.float32)))


@in_place
def test_a_foreign_array_is_written_in_its_own_memory(place):
    values = np.arange(5, dtype=np.float32)
    assert np.shares_memory(result_of(IN_PLACE[place](Tensor(values))), values)


@anywhere
def test_buffers_come_in_as_arrays(place):
    for buffer in (array.array("f", [1, 2]), memoryview(array.array("q", [1, 2]))):
        np.testing.assert_array_equal(result_of(ALL[place](buffer)), [1, 2])


@anywhere
def test_bytes_move(place):
    assert result_of(ALL[place](bytearray(b"abc"))).tobytes() == b"abc"


@pytest.mark.parametrize("place", SUMS)
@pytest.mark.parametrize("op", [rs.Average, rs.Sum, rs.Product])
def test_truth_values_have_extremes_only(place, op):
    with pytest.raises(ConfigError, match=rf"bool cannot be reduced by {op.name}; Min .* or Max"):
        ALL[place](np.ones(3, bool), op=op)
    assert rs.allreduce(np.ones(2))[0] == 1


@anywhere
def test_a_subclass_of_ndarray_is_its_plain_values(place):
    class Special(np.ndarray):
        pass

    found = result_of(ALL[place](np.ones(3).view(Special)))
    assert type(found) is np.ndarray


@in_place
def test_memory_at_an_odd_address_is_one_clear_error_in_place(place):
    x = np.frombuffer(bytearray(8 * 1000 + 1), np.uint8)[1:].view(np.float64)
    with pytest.raises(ConfigError, match="does not lie on a multiple of its item size"):
        IN_PLACE[place](x)


def test_memory_at_an_odd_address_is_copied_where_it_is_only_read():
    x = np.frombuffer(bytearray(8 * 1000 + 1), np.uint8)[1:].view(np.float64)
    x[...] = 3.0
    assert set(rs.allreduce(x).tolist()) == {3.0}


@anywhere
def test_more_dimensions_than_supported_is_one_clear_error(place):
    with pytest.raises(ConfigError, match="9 dimensions; at most 8"):
        ALL[place](np.ones((1,) * 9))
    assert rs.allreduce(np.ones(2))[0] == 1


no_ranks = pytest.mark.parametrize("root", [np.array([0, 1]), "0", None, 0.0, -1])


@no_ranks
def test_a_root_that_is_no_rank_is_refused(root):
    with pytest.raises(ConfigError, match=r"is no rank of this world"):
        rs.broadcast_(np.ones(3), root)


@no_ranks
def test_an_object_is_pickled_only_for_a_root_that_is_a_rank(root):
    class Watched:
        def __reduce__(self):
            pickled.append(root)
            return str, ("x",)

    pickled = []
    with pytest.raises(ConfigError, match=r"\[broadcast_object\] root=.* is no rank of this world"):
        rs.broadcast_object(Watched(), root=root)
    assert pickled == []


@pytest.mark.parametrize("call", [rs.grouped_allreduce, rs.grouped_allreduce_async_])
@pytest.mark.parametrize("xs", [None, 5])
def test_what_holds_no_arrays_is_no_group(call, xs):
    with pytest.raises(ConfigError, match="holds no arrays"):
        call(xs)


@pytest.mark.parametrize("place", ALL)
@pytest.mark.parametrize("shape", [(), (0,), (3, 4)], ids=str)
def test_bfloat16_goes_in_and_comes_out(place, shape):
    if place in ROWS:
        shape = (*shape, 1)
    x = np.full(shape, 1.5, ml_dtypes.bfloat16)
    found = result_of(ALL[place](x))
    assert (found.shape, found.dtype) == (x.shape, x.dtype)
    assert (found == 1.5).all()
    assert (found is x) == (place in IN_PLACE)
