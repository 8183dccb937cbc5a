"""Every transport deals rows out: the right ones to each rank, whatever their number and place."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync.errors import ConfigError, MismatchError

from ..ranks import TRANSPORTS, Op, world
from .test_values import DTYPES, MEMORY, contribution, placed

both = pytest.mark.parametrize("transport", TRANSPORTS)
trailings = st.sampled_from([(), (1,), (3,), (0,), (2, 2)])


def part_of(values, rank, n):
    return np.array_split(values, n)[rank]


@both
@given(
    n=st.integers(1, 5), rows=st.one_of(st.integers(0, 9), st.integers(0, 20_000)),
    trailing=trailings, dtype=st.sampled_from(DTYPES), memory=st.sampled_from(MEMORY),
    op=st.sampled_from([Op.SUM, Op.AVERAGE]),
)  # fmt: skip
def test_a_reduce_scatter_gives_each_rank_its_rows_and_leaves_the_input_alone(
    worlds, transport, n, rows, trailing, dtype, memory, op
):
    def given_rows(rank):
        width = int(np.prod(trailing, dtype=int))
        return contribution(rank, rows * width, dtype).reshape(rows, *trailing)

    def work(rank):
        values = given_rows(rank.rank)
        array = placed(rank, values.reshape(-1), memory).reshape(values.shape)
        result = rank.reduce_scatter(array, op=op)
        np.testing.assert_array_equal(array, values)
        return result

    expected = sum(given_rows(rank) for rank in range(n))
    if op is Op.AVERAGE:
        expected = expected / n if dtype.kind == "f" else np.trunc(expected / n)
    for rank, result in enumerate(worlds.of(n, transport).each(work)):
        part = part_of(expected, rank, n)
        assert (result.shape, result.dtype) == (part.shape, dtype)
        np.testing.assert_allclose(result, part.astype(dtype), rtol=1e-5)


@both
def test_arrays_of_one_count_but_other_rows_are_cut_at_their_own_rows(worlds, transport):
    # Equal in count: a route kept by counts alone would serve both.
    values = np.arange(12.0)
    for shape in ((12,), (3, 4), (2, 6), (1, 12)):
        results = worlds.of(2, transport).each(
            lambda rank, shape=shape: rank.reduce_scatter(values.reshape(shape))
        )
        for rank, result in enumerate(results):
            np.testing.assert_array_equal(result, 2 * part_of(values.reshape(shape), rank, 2))


@both
@pytest.mark.parametrize("memory", ["private", "registered"])
@pytest.mark.parametrize(
    ("usual", "odd", "parts"),
    [
        (np.zeros((4, 3)), np.zeros((3, 4)), ("rank 2 sent shape (3, 4)", "rank 0 (4, 3)")),
        (np.zeros(4), np.zeros(5), ("rank 2 sent shape (5,)", "rank 0 (4,)")),
        (np.zeros(4), np.zeros(4, np.float32), ("rank 2 sent float32", "rank 0 float64")),
    ],
    ids=["rows", "length", "dtype"],
)
def test_a_reduce_scatter_mismatch_names_both_ranks_and_the_engine_goes_on(
    transport, memory, usual, odd, parts
):
    def work(rank):
        values = odd if rank.rank == 2 else usual
        rank.reduce_scatter(
            placed(rank, values.reshape(-1), memory).reshape(values.shape), name="w"
        )

    with world(3, transport) as ranks:
        for error in ranks.errors(work, MismatchError):
            for part in ("[reduce_scatter] 'w'", *parts):
                assert part in str(error)
        ranks.require_usable()


def test_ops_of_a_reduce_scatter_that_differ_are_named():
    with world(3) as ranks:
        for error in ranks.errors(
            lambda rank: rank.reduce_scatter(np.ones(3), op=Op.AVERAGE if rank.rank else Op.SUM),
            MismatchError,
        ):
            assert "rank 1 asked for Average, rank 0 Sum" in str(error)
        ranks.require_usable()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones(()), "a scalar has no first dimension. Pass x.reshape(1)"),
        (np.ones(3, bool), "bool cannot be reduced by"),
    ],
    ids=["scalar", "truth"],
)
def test_what_no_rank_could_reduce_is_refused_below_the_door_too(worlds, x, message):
    ranks = worlds.of(2, "inproc")
    for error in ranks.errors(lambda rank: rank.reduce_scatter(x), ConfigError):
        assert message in str(error)
    ranks.require_usable()


@both
@given(n=st.integers(1, 5), trailing=trailings, memory=st.sampled_from(MEMORY),
       dtype=st.sampled_from([*DTYPES, np.dtype("uint8")]), data=st.data())  # fmt: skip
def test_an_alltoall_brings_each_rank_what_all_had_for_it(
    worlds, transport, n, trailing, memory, dtype, data
):
    row_counts = st.one_of(st.integers(0, 4), st.integers(0, 4000))
    cuts = data.draw(st.lists(st.lists(row_counts, min_size=n, max_size=n), min_size=n, max_size=n))

    def given_rows(rank):
        rows = sum(cuts[rank])
        width = int(np.prod(trailing, dtype=int))
        return contribution(rank, rows * width, dtype).reshape(rows, *trailing)

    def work(rank):
        values = given_rows(rank.rank)
        array = placed(rank, values.reshape(-1), memory).reshape(values.shape)
        result = rank.alltoall(array, cuts[rank.rank])
        np.testing.assert_array_equal(array, values)
        return result

    for rank, result in enumerate(worlds.of(n, transport).each(work)):
        parts = [np.split(given_rows(i), np.cumsum(cuts[i])[:-1])[rank] for i in range(n)]
        expected = np.concatenate(parts)
        assert (result.shape, result.dtype) == (expected.shape, dtype)
        np.testing.assert_array_equal(result, expected)


@both
def test_rows_of_an_alltoall_that_differ_in_width_are_named(transport):
    with world(3, transport) as ranks:
        for error in ranks.errors(
            lambda rank: rank.alltoall(
                np.ones((3, 4 if rank.rank == 2 else 5)), (1, 1, 1), name="w"
            ),
            MismatchError,
        ):
            assert "[alltoall] 'w': rank 2 sent shape (3, 4), rank 0 (3, 5)" in str(error)
        ranks.require_usable()


@pytest.mark.parametrize("splits", [(), (3,), (1, 1), (4, 0), (1, 1, 1), (2**64 - 1, 4)], ids=repr)
def test_splits_that_do_not_cut_the_rows_are_refused_below_the_door_too(worlds, splits):
    ranks = worlds.of(2, "inproc")
    for error in ranks.errors(lambda rank: rank.alltoall(np.ones(3), splits), ConfigError):
        assert "splits do not cut 3 rows for 2 ranks" in str(error)
    ranks.require_usable()
