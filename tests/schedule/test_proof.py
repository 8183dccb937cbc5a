"""Every algorithm, every world up to eight ranks, in memory: right, free of races, within its cost.

The real executor runs the real schedules over queues of random length in a random order.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync import _native

from ..ranks import Collective

KINDS = {
    "ring": Collective.ALLREDUCE,
    "direct": Collective.ALLREDUCE,
    "halving_doubling": Collective.ALLREDUCE,
    "direct_broadcast": Collective.BROADCAST,
    "tree": Collective.BROADCAST,
    "direct_allgather": Collective.ALLGATHER,
    "direct_reduce_scatter": Collective.REDUCE_SCATTER,
    "direct_alltoall": Collective.ALLTOALL,
}
BROADCASTS = [name for name, kind in KINDS.items() if kind is Collective.BROADCAST]
ALLREDUCES = [name for name, kind in KINDS.items() if kind is Collective.ALLREDUCE]
DTYPES = [np.dtype(name) for name in ("float32", "float64", "int32", "int64")]

sizes = st.integers(1, 8)
counts = st.one_of(st.integers(0, 9), st.integers(0, 300))
seeds = st.integers(0, 2**64 - 1)
# From one element of eight bytes to more than any example's chunk; some are no multiple of eight.
segments = st.one_of(st.sampled_from([8, 12, 20, 64, 100]), st.integers(64, 4096))


def simulate(name, problem, inputs, divisor, segment_bytes, seed, is_remote=False):
    outputs, sent = _native.simulate(name, problem, inputs, divisor, segment_bytes, seed, is_remote)
    return [output.view(inputs[0].dtype) for output in outputs], sent


def require_proved(name, problem, sent):
    assert _native.applies(name, problem)
    assert _native.find_race(name, problem) == ""
    assert max(sent) <= _native.cost_elements(name, problem)


def small_integers(random, count, dtype):
    """Values whose sums are exact in every dtype, in whatever order they are added."""
    return random.integers(-1000, 1000, count).astype(dtype)


def truncated(sums, divisor):
    """Division toward zero, as C and the documentation have it."""
    return np.sign(sums) * (np.abs(sums) // divisor)


def test_every_algorithm_is_proved_here():
    assert sorted(_native.algorithm_names()) == sorted(KINDS)


@pytest.mark.parametrize("name", ALLREDUCES)
@given(n=sizes, count=counts, dtype=st.sampled_from(DTYPES), in_place=st.booleans(),
       segment=segments, seed=seeds)  # fmt: skip
def test_an_allreduce_equals_numpy_exactly(name, n, count, dtype, in_place, segment, seed):
    random = np.random.default_rng(seed)
    inputs = [small_integers(random, count, dtype) for _ in range(n)]
    problem = _native.Problem(Collective.ALLREDUCE, [count] * n, 0, in_place)
    outputs, sent = simulate(name, problem, inputs, 1, segment, seed)
    for output in outputs:
        np.testing.assert_array_equal(output, np.sum(inputs, axis=0, dtype=dtype))
    require_proved(name, problem, sent)


@pytest.mark.parametrize("name", ALLREDUCES)
@given(n=sizes, count=counts, dtype=st.sampled_from(DTYPES), in_place=st.booleans(),
       segment=segments, seed=seeds)  # fmt: skip
def test_an_average_divides_every_element_once(name, n, count, dtype, in_place, segment, seed):
    random = np.random.default_rng(seed)
    inputs = [small_integers(random, count, dtype) for _ in range(n)]
    problem = _native.Problem(Collective.ALLREDUCE, [count] * n, 0, in_place)
    outputs, _ = simulate(name, problem, inputs, n, segment, seed)
    sums = np.sum(inputs, axis=0, dtype=dtype)
    one, ranks = dtype.type(1), dtype.type(n)
    expected = truncated(sums, n) if dtype.kind == "i" else sums * (one / ranks)
    for output in outputs:
        np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize("name", ALLREDUCES)
@given(n=sizes, count=counts, dtype=st.sampled_from(DTYPES[:2]), in_place=st.booleans(),
       is_average=st.booleans(), segment=segments, seed=seeds)  # fmt: skip
def test_any_floats_reduce_to_equal_bits_on_all_ranks(
    name, n, count, dtype, in_place, is_average, segment, seed
):
    random = np.random.default_rng(seed)
    inputs = [random.standard_normal(count).astype(dtype) * 1e3 for _ in range(n)]
    for values in inputs:
        if count and random.random() < 0.3:
            values[random.integers(count)] = random.choice([np.nan, np.inf, -np.inf, -0.0])
    problem = _native.Problem(Collective.ALLREDUCE, [count] * n, 0, in_place)
    outputs, _ = simulate(name, problem, inputs, n if is_average else 1, segment, seed)
    assert len({output.tobytes() for output in outputs}) == 1
    with np.errstate(invalid="ignore"):
        expected = np.sum(inputs, axis=0, dtype=np.float64) / (n if is_average else 1)
    np.testing.assert_allclose(outputs[0], expected, rtol=1e-4, atol=1e-1)


@given(n=sizes, count=counts, dtype=st.sampled_from(DTYPES[:2]), in_place=st.booleans(),
       is_average=st.booleans(), segment=segments, seed=seeds)  # fmt: skip
def test_direct_adds_in_rank_order_to_the_last_bit(
    n, count, dtype, in_place, is_average, segment, seed
):
    random = np.random.default_rng(seed)
    inputs = [random.standard_normal(count).astype(dtype) * 1e3 for _ in range(n)]
    expected = inputs[0].copy()
    for values in inputs[1:]:
        expected = expected + values
    if is_average and n > 1:
        expected = expected * (dtype.type(1) / dtype.type(n))
    problem = _native.Problem(Collective.ALLREDUCE, [count] * n, 0, in_place)
    outputs, _ = simulate("direct", problem, inputs, n if is_average else 1, segment, seed)
    for output in outputs:
        assert output.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", DTYPES[2:])
@pytest.mark.parametrize("name", ALLREDUCES)
def test_an_integer_overflow_wraps_as_in_numpy(name, dtype):
    inputs = [np.full(5, np.iinfo(dtype).max, dtype) for _ in range(3)]
    problem = _native.Problem(Collective.ALLREDUCE, [5] * 3)
    outputs, _ = simulate(name, problem, inputs, 1, 64, 0)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(outputs[1], inputs[0] + inputs[1] + inputs[2])


@pytest.mark.parametrize("name", BROADCASTS)
@given(n=sizes, count=counts, dtype=st.sampled_from([*DTYPES, np.dtype("uint8")]),
       in_place=st.booleans(), segment=segments, seed=seeds, data=st.data())  # fmt: skip
def test_a_broadcast_copies_the_root_and_leaves_it_alone(
    name, n, count, dtype, in_place, segment, seed, data
):
    root = data.draw(st.integers(0, n - 1))
    random = np.random.default_rng(seed)
    inputs = [random.integers(0, 256, count).astype(dtype) for _ in range(n)]
    problem = _native.Problem(Collective.BROADCAST, [count] * n, root, in_place)
    outputs, sent = simulate(name, problem, inputs, 1, segment, seed)
    for output in outputs:
        np.testing.assert_array_equal(output, inputs[root])
    require_proved(name, problem, sent)


@given(
    uneven=st.lists(counts, min_size=1, max_size=8),
    dtype=st.sampled_from([*DTYPES, np.dtype("uint8")]), in_place=st.booleans(),
    segment=segments, seed=seeds,
)  # fmt: skip
def test_an_allgather_concatenates_whatever_each_rank_has(uneven, dtype, in_place, segment, seed):
    random = np.random.default_rng(seed)
    inputs = [random.integers(0, 256, count).astype(dtype) for count in uneven]
    problem = _native.Problem(Collective.ALLGATHER, uneven, 0, in_place)
    outputs, sent = simulate("direct_allgather", problem, inputs, 1, segment, seed)
    for output in outputs:
        np.testing.assert_array_equal(output, np.concatenate(inputs))
    require_proved("direct_allgather", problem, sent)


@given(n=sizes, rows=st.integers(0, 40), width=st.integers(1, 9), dtype=st.sampled_from(DTYPES),
       is_average=st.booleans(), in_place=st.booleans(), segment=segments,
       seed=seeds)  # fmt: skip
def test_a_reduce_scatter_gives_each_rank_its_rows_summed_in_rank_order(
    n, rows, width, dtype, is_average, in_place, segment, seed
):
    random = np.random.default_rng(seed)
    inputs = [(random.standard_normal((rows, width)) * 1e3).astype(dtype) for _ in range(n)]
    sums = inputs[0].copy()
    for values in inputs[1:]:
        sums = sums + values
    if is_average and n > 1:
        one, ranks = dtype.type(1), dtype.type(n)
        sums = truncated(sums, n).astype(dtype) if dtype.kind == "i" else sums * (one / ranks)
    counts = [rows * width] * n
    problem = _native.Problem(Collective.REDUCE_SCATTER, counts, 0, in_place, width)
    name = _native.choose(problem)
    flat = [values.reshape(-1) for values in inputs]
    outputs, sent = simulate(name, problem, flat, n if is_average else 1, segment, seed)
    for rank, output in enumerate(outputs):
        part = np.array_split(sums, n)[rank]
        assert output.tobytes() == part.tobytes()
    require_proved(name, problem, sent)


@given(
    uneven=st.lists(counts, min_size=1, max_size=8),
    dtype=st.sampled_from([*DTYPES, np.dtype("uint8")]), in_place=st.booleans(),
    segment=segments, seed=seeds,
)  # fmt: skip
def test_an_alltoall_gives_each_rank_its_part_of_every_input(
    uneven, dtype, in_place, segment, seed
):
    random = np.random.default_rng(seed)
    inputs = [random.integers(0, 256, count).astype(dtype) for count in uneven]
    problem = _native.Problem(Collective.ALLTOALL, uneven, 0, in_place)
    outputs, sent = simulate("direct_alltoall", problem, inputs, 1, segment, seed)
    n = len(uneven)
    for rank, output in enumerate(outputs):
        parts = [np.array_split(x, n)[rank] for x in inputs]
        np.testing.assert_array_equal(output, np.concatenate(parts))
    require_proved("direct_alltoall", problem, sent)


@pytest.mark.parametrize("name", list(KINDS))
def test_no_world_and_no_small_count_has_a_race(name):
    for n, count, in_place in itertools.product(range(1, 9), range(18), (False, True)):
        for root in range(n if KINDS[name] is Collective.BROADCAST else 1):
            problem = _native.Problem(KINDS[name], [count] * n, root, in_place)
            assert _native.find_race(name, problem) == "", (n, count, in_place, root)


@given(n=sizes, count=st.integers(0, 10**9), kind=st.sampled_from(list(set(KINDS.values()))),
       in_place=st.booleans())  # fmt: skip
def test_whatever_is_chosen_applies_and_none_that_applies_sends_less_in_one_step(
    n, count, kind, in_place
):
    problem = _native.Problem(kind, [count] * n, 0, in_place)
    chosen = _native.choose(problem)
    assert _native.applies(chosen, problem)
    assert KINDS[chosen] is kind


@given(n=st.integers(2, 8), count=st.integers(0, 10**9))
def test_an_allreduce_states_the_bytes_of_the_ring(n, count):
    problem = _native.Problem(Collective.ALLREDUCE, [count] * n)
    longest = -(-count // n)
    assert _native.cost_elements("ring", problem) == 2 * (n - 1) * longest


@given(n=st.integers(2, 8), count=st.integers(0, 10**9))
def test_a_direct_allreduce_writes_its_sums_once(n, count):
    problem = _native.Problem(Collective.ALLREDUCE, [count] * n)
    assert _native.cost_elements("direct", problem) == n * -(-count // n)


@given(n=st.integers(2, 8), count=counts, seed=seeds)
def test_what_all_others_read_is_sent_once(n, count, seed):
    inputs = [np.zeros(count, np.float32)] * n
    for name in ("direct_broadcast", "direct_allgather"):
        _, sent = simulate(name, _native.Problem(KINDS[name], [count] * n), inputs, 1, 64, seed)
        assert max(sent) == count
    _, sent = simulate("direct", _native.Problem(0, [count] * n), inputs, 1, 64, seed)
    assert sum(sent) == n * count


@given(n=st.integers(2, 8), count=counts, seed=seeds, in_place=st.booleans())
def test_every_rank_of_a_ring_really_sends_its_share(n, count, seed, in_place):
    # Were the measure vacuous, the bound above would prove nothing.
    inputs = [np.zeros(count, np.float32)] * n
    problem = _native.Problem(Collective.ALLREDUCE, [count] * n, 0, in_place)
    _, sent = simulate("ring", problem, inputs, 1, 64, seed)
    assert sum(sent) == 2 * (n - 1) * count


@pytest.mark.parametrize("name", KINDS)
@given(n=sizes, data=st.data(), is_average=st.booleans(), segment=segments, seed=seeds)
def test_ranks_that_reach_each_others_memory_get_the_bits_that_messages_bring(
    name, n, data, is_average, segment, seed
):
    kind = KINDS[name]
    one_count = [data.draw(counts)] * n
    lengths = data.draw(st.lists(counts, min_size=n, max_size=n))
    problem_counts = lengths if kind is Collective.ALLGATHER else one_count
    random = np.random.default_rng(seed)
    inputs = [random.standard_normal(count) for count in problem_counts]
    divisor = n if is_average and kind is Collective.ALLREDUCE else 1
    bits = []
    for is_remote in (False, True):
        problem = _native.Problem(kind, problem_counts, seed % n, is_remote)
        outputs, sent = simulate(name, problem, inputs, divisor, segment, seed, is_remote)
        require_proved(name, problem, sent)
        bits.append([output.tobytes() for output in outputs])
    assert bits[0] == bits[1]
