"""Every transport carries every collective: right values and equal bits, wherever they lie."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync import _native
from ringsync.errors import ConfigError

from ..ranks import ALGORITHMS, TRANSPORTS, Collective, Op, finish, world

SEGMENT_BYTES = 64 * 1024
DTYPES = [np.dtype(name) for name in ("float32", "float64", "int32", "int64")]
MEMORY = ("private", "reached", "registered", "one private", "one reached", "views")

both = pytest.mark.parametrize("transport", TRANSPORTS)
either = pytest.mark.parametrize("algorithm", ALGORITHMS)


def placed(rank, values, memory):
    """`values` where `memory` says that this rank keeps them."""
    rank.engine.set_reach_from(0 if "reached" in memory else 2**63)
    is_one = "one" in memory
    if memory in ("private", "reached") or (is_one and rank.rank == rank.size - 1):
        return values.copy()
    if memory == "views":  # in the middle of a block, elsewhere on every rank
        skip = 16 * (rank.rank + 1)
        block = rank.registered(np.zeros(values.size + skip + 3, values.dtype))
        block[skip : skip + values.size] = values
        return block[skip : skip + values.size]
    return rank.registered(values)


def contribution(rank, count, dtype):
    period = (np.arange(1000) - 300 + 7 * rank).astype(dtype)
    return np.tile(period, -(-count // len(period)))[:count]


def border_counts(n, dtype):
    """Around a rank's chunk of one segment, and of two."""
    per_segment = SEGMENT_BYTES // dtype.itemsize
    around = [k * n * per_segment + d for k in (1, 2) for d in (-1, 0, 1)]
    return sorted({0, 1, max(n - 1, 0), n, n + 1, per_segment - 1, per_segment + 1, *around})


def require_allreduce(worlds, transport, algorithm, n, count, dtype, memory, op):
    def work(rank):
        array = placed(rank, contribution(rank.rank, count, dtype), memory)
        return rank.allreduce(array, op=op).copy()

    results = worlds.of(n, transport, algorithm).each(work)
    expected = sum(contribution(rank, count, dtype) for rank in range(n))
    if op is Op.AVERAGE:
        expected = expected / n if dtype.kind == "f" else np.trunc(expected / n)
    np.testing.assert_allclose(results[0], expected.astype(dtype), rtol=1e-5)
    if op is Op.SUM:
        np.testing.assert_array_equal(results[0], expected)
    assert len({result.tobytes() for result in results}) == 1


@both
@either
@given(
    n=st.integers(1, 8), count=st.one_of(st.integers(0, 20), st.integers(0, 40_000)),
    dtype=st.sampled_from(DTYPES), memory=st.sampled_from(MEMORY),
    op=st.sampled_from([Op.SUM, Op.AVERAGE]),
)  # fmt: skip
def test_an_allreduce_equals_numpy_and_its_bits_are_equal_on_all_ranks(
    worlds, transport, algorithm, n, count, dtype, memory, op
):
    require_allreduce(worlds, transport, algorithm, n, count, dtype, memory, op)


@both
@either
@pytest.mark.parametrize("memory", ["private", "registered"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_an_allreduce_is_right_on_both_sides_of_every_segment_border(
    worlds, transport, algorithm, memory, n
):
    for dtype, op in ((DTYPES[0], Op.SUM), (DTYPES[3], Op.AVERAGE)):
        for count in border_counts(n, dtype):
            require_allreduce(worlds, transport, algorithm, n, count, dtype, memory, op)


@both
@pytest.mark.parametrize("memory", MEMORY)
def test_an_allreduce_of_many_megabytes_takes_many_turns_and_is_right(worlds, transport, memory):
    for algorithm in ALGORITHMS:
        require_allreduce(worlds, transport, algorithm, 3, 2_000_003, DTYPES[0], memory, Op.SUM)


@both
@given(
    n=st.integers(1, 8), count=st.one_of(st.integers(0, 20), st.integers(0, 100_000)),
    dtype=st.sampled_from([*DTYPES, np.dtype("uint8")]), memory=st.sampled_from(MEMORY),
    data=st.data(),
)  # fmt: skip
def test_a_broadcast_gives_all_what_the_root_has(worlds, transport, n, count, dtype, memory, data):
    root = data.draw(st.integers(0, n - 1))

    def work(rank):
        array = placed(rank, contribution(rank.rank, count, dtype), memory)
        return rank.broadcast(array, root=root).copy()

    for result in worlds.of(n, transport).each(work):
        np.testing.assert_array_equal(result, contribution(root, count, dtype))


@both
@given(
    rows=st.lists(st.one_of(st.integers(0, 5), st.integers(0, 30_000)), min_size=1, max_size=8),
    dtype=st.sampled_from([*DTYPES, np.dtype("uint8")]), memory=st.sampled_from(MEMORY),
    trailing=st.sampled_from([(), (1,), (3,), (0,), (2, 2)]),
)  # fmt: skip
def test_an_allgather_concatenates_rows_and_leaves_the_input_alone(
    worlds, transport, rows, dtype, memory, trailing
):
    def given_rows(rank):
        width = int(np.prod(trailing, dtype=int))
        return contribution(rank, rows[rank] * width, dtype).reshape(rows[rank], *trailing)

    def work(rank):
        values = given_rows(rank.rank)
        array = placed(rank, values.reshape(-1), memory).reshape(values.shape)
        result = rank.allgather(array)
        np.testing.assert_array_equal(array, values)
        return result

    expected = np.concatenate([given_rows(rank) for rank in range(len(rows))])
    for result in worlds.of(len(rows), transport).each(work):
        assert result.shape == expected.shape
        np.testing.assert_array_equal(result, expected)


@both
def test_an_allgather_of_more_than_a_segment_is_aligned_for_vector_loads(worlds, transport):
    results = worlds.of(3, transport).each(
        lambda rank: rank.allgather(np.full(50_000 + rank.rank, rank.rank, np.float64))
    )
    assert all(result.ctypes.data % 64 == 0 for result in results)
    assert [result.sum() for result in results] == [50_001.0 + 2 * 50_002.0] * 3


@both
def test_memory_changes_from_call_to_call_and_values_stay_right(worlds, transport):
    def work(rank):
        found = []
        for turn, memory in enumerate(itertools.islice(itertools.cycle(MEMORY), 40)):
            array = placed(rank, np.full(100, rank.rank + turn, np.int64), memory)
            found.append(int(rank.allreduce(array)[57]))
        return found

    for found in worlds.of(4, transport).each(work):
        assert found == [6 + 4 * turn for turn in range(40)]


@both
def test_several_operations_share_one_registered_block_at_once(worlds, transport):
    def work(rank):
        block = rank.registered(np.full(10_000, rank.rank + 1.0))
        parts = [block[i : i + 1000] for i in range(0, 10_000, 1000)]
        handles = [rank.submit(Collective.ALLREDUCE, part) for part in parts]
        for handle in handles:
            finish(handle)
        return block.copy()

    for result in worlds.of(4, transport).each(work):
        np.testing.assert_array_equal(result, np.full(10_000, 10.0))


@both
def test_nobody_leaves_a_barrier_before_the_last_one_has_come(transport):
    arrived = []

    def work(rank):
        for turn in range(20):
            arrived.append(turn)
            rank.barrier()
            assert arrived.count(turn) == 4
            rank.barrier()

    with world(4, transport) as ranks:
        ranks.each(work)


def test_an_unknown_transport_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'tpc' is unknown; one of inproc, shm"):
        _native.Engine(_native.memory_store(), 0, 1, "tpc")


@both
@pytest.mark.parametrize("n", [2, 3])
def test_what_one_rank_would_not_reach_into_none_does(worlds, transport, n):
    # Ranks that moved data in different ways would wait for each other for ever.
    def work(rank):
        rank.engine.set_reach_from(2**63 if rank.rank == n - 1 else 0)
        return float(rank.allreduce(np.full(100_000, rank.rank + 1.0), op=Op.SUM)[-1])

    assert worlds.of(n, transport).each(work) == [n * (n + 1) / 2] * n
