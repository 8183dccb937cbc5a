"""Horovod's table of errors, row by row: what no other file claims of its equals here."""

import itertools

import numpy as np
import pytest

import ringsync as rs
from ringsync.errors import ConfigError, DuplicateNameError, MismatchError, NotInitializedError

from ..ranks import TRANSPORTS, Collective, Op, finish, world

F32 = np.float32
N = 3
ODD = 2  # the rank that asks for something else

CALLS = {
    "allreduce": lambda rank, x, **how: rank.allreduce(x, **how),
    "allgather": lambda rank, x, **how: rank.allgather(x, **how),
    "broadcast": lambda rank, x, **how: rank.broadcast(x, **how),
    "reduce_scatter": lambda rank, x, **how: rank.reduce_scatter(x, **how),
    "alltoall": lambda rank, x, **how: rank.alltoall(x, (len(x) // N,) * N, **how),
    "barrier": lambda rank, x, **how: rank.barrier(**how),  # noqa: ARG005 - called as the others
}
# 40 000 columns travel alone, and few with their announcement.
DIFFERENCES = {
    "dtype": (((12, 2), F32), ((12, 2), np.float64), "float64", "float32"),
    "kind": (((12, 40_000), F32), ((12, 40_000), np.int32), "int32", "float32"),
    "width": (((12, 2),), ((12, 3),), "shape (12, 3)", "(12, 2)"),
    "more dimensions": (((12, 2),), ((12, 2, 1),), "shape (12, 2, 1)", "(12, 2)"),
    "fewer dimensions": (((12, 40_000),), ((12,),), "shape (12,)", "(12, 40000)"),
    "odd is large": (((12, 2),), ((12, 40_000),), "shape (12, 40000)", "(12, 2)"),
    "odd is empty": (((12, 40_000),), ((0, 2),), "shape (0, 2)", "(12, 40000)"),
}
moving = pytest.mark.parametrize("call", [call for call in CALLS if call != "barrier"])


@pytest.fixture(scope="module", params=TRANSPORTS)
def ranks(request):
    """One world for all rows: whatever they leave behind, the next one meets."""
    with world(N, request.param) as made:
        yield made


def filled(number, shape, dtype=F32):
    return np.full(shape, number + 1, dtype)


def story_of(ranks, arrays, call):
    """The sentence that all ranks raise; no array is written, and the ranks go on."""
    errors = ranks.errors(lambda rank: call(rank, arrays[rank.rank]), MismatchError)
    for number, array in enumerate(arrays):
        assert (array == number + 1).all(), "data has moved"
    ranks.require_usable()
    (story,) = {str(error) for error in errors}
    return story


@moving
@pytest.mark.parametrize("difference", DIFFERENCES)
def test_arrays_that_differ_name_the_tensor_both_ranks_and_both_values(ranks, call, difference):
    usual, odd, sent, expected = DIFFERENCES[difference]
    arrays = [filled(number, *(odd if number == ODD else usual)) for number in range(N)]
    story = story_of(ranks, arrays, lambda rank, x: CALLS[call](rank, x, name="w"))
    assert story.startswith(f"[{call}] 'w': rank 2 sent {sent}, rank 0 {expected}. ")


@pytest.mark.parametrize("call", ["allgather", "reduce_scatter", "alltoall"])
@pytest.mark.parametrize("odd", [ODD, 0])
def test_a_scalar_on_one_rank_is_told_on_all(ranks, call, odd):
    def work(rank, x):
        # A scalar has no length to cut; the splits of the others are what they would be.
        splits = {"splits": (0,) * N if rank.rank == odd else (1,) * N}
        getattr(rank, call)(x, name="w", **(splits if call == "alltoall" else {}))

    arrays = [filled(number, () if number == odd else (3,)) for number in range(N)]
    sent = "shape (), rank 0 (3,)" if odd else "shape (3,), rank 0 ()"
    assert f"[{call}] 'w': rank {odd or 1} sent {sent}. " in story_of(ranks, arrays, work)


@pytest.mark.parametrize("call", ["allgather", "reduce_scatter", "alltoall"])
def test_a_scalar_on_all_ranks_is_refused_on_all(ranks, call):
    def work(rank):
        splits = {"splits": (0,) * N} if call == "alltoall" else {}
        with pytest.raises(ConfigError, match=rf"^\[{call}\] 'w': a scalar .*reshape\(1\) on"):
            getattr(rank, call)(np.ones((), F32), name="w", **splits)

    ranks.each(work)
    ranks.require_usable()


@pytest.mark.parametrize("name", ["w", None])
@pytest.mark.parametrize(("usual", "odd"), list(itertools.permutations(CALLS, 2)))
def test_two_collectives_that_meet_are_told_apart(ranks, usual, odd, name):
    def call(rank, x):
        CALLS[odd if rank.rank == ODD else usual](rank, x, name=name)

    story = story_of(ranks, [filled(number, (12, 2)) for number in range(N)], call)
    assert story.startswith(f"[{usual}] '{name or 'unnamed '}")
    assert f"': rank 2 submitted {odd}, rank 0 {usual}. " in story


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ({"op": Op.MAX}, "rank 2 asked for Max, rank 0 Sum. "),
        (
            {"postscale": 0.5},
            "rank 2 asked for prescale 1, postscale 0.5, rank 0 prescale 1, postscale 1. ",
        ),
    ],
    ids=["op", "scale"],
)
def test_terms_that_differ_end_a_whole_group(ranks, odd, told):
    def call(rank, xs):
        finish(rank.submit_all(list(xs), name="g", **(odd if rank.rank == ODD else {})))

    story = story_of(ranks, [filled(number, (2, 3)) for number in range(N)], call)
    assert story.startswith(f"[grouped_allreduce] 'g.0': {told}")


@pytest.mark.parametrize("count", [3, 40_000], ids=["carried", "alone"])
def test_an_array_of_a_group_that_differs_is_named_and_the_others_are_reduced(ranks, count):
    def work(rank):
        arrays = [filled(rank.rank, count) for _ in range(3)]
        if rank.rank == ODD:
            arrays[1] = filled(rank.rank, count, np.int32)
        told = r"^\[grouped_allreduce\] 'g\.1': rank 2 sent int32, rank 0 float32\. "
        with pytest.raises(MismatchError, match=told):
            finish(rank.submit_all(arrays, name="g"))
        assert [float(array[-1]) for array in arrays] == [6, rank.rank + 1, 6]

    ranks.each(work)
    ranks.require_usable()


def test_a_handle_of_what_ranks_disagree_on_says_so_whenever_it_is_asked(ranks):
    def work(rank):
        handle = rank.submit(Collective.ALLREDUCE, filled(rank.rank, 3 + rank.rank), name="w")
        said = set()
        for ask in (handle.wait, handle.result, handle.wait):
            with pytest.raises(MismatchError) as raised:
                ask()
            said.add(str(raised.value))
        assert handle.done()
        assert len(said) == 1

    ranks.each(work)
    ranks.require_usable()


def test_a_name_in_flight_is_refused_to_every_collective_and_free_once_it_is_done(ranks):
    first, *others = ranks.ranks
    mine, *theirs = [filled(number, 12) for number in range(N)]
    for call, again in CALLS.items():
        handles = [first.submit(Collective.ALLREDUCE, mine, name="w")]
        array = filled(0, 12)
        refusal = rf"^\[{call}\] 'w' is still in flight on rank 0\. Wait for its handle"
        with pytest.raises(DuplicateNameError, match=refusal):
            again(first, array, name="w")
        assert (array == 1).all()
        for rank, x in zip(others, theirs, strict=True):
            handles.append(rank.submit(Collective.ALLREDUCE, x, name="w"))
        for handle in handles:
            finish(handle)
        ranks.each(lambda rank, again=again: again(rank, filled(rank.rank, 12), name="w"))
        ranks.require_usable()


@pytest.mark.parametrize("op", [rs.Min, rs.Max, rs.Product])
def test_a_reduce_scatter_takes_more_than_sum_and_average(ranks, op):
    values = {rs.Min: 1, rs.Max: 3, rs.Product: 6}
    for found in ranks.each(lambda rank: rank.reduce_scatter(filled(rank.rank, (6, 2)), op=op)):
        assert found.tolist() == [[values[op]] * 2] * 2


@pytest.mark.parametrize("kind", [MismatchError, DuplicateNameError, ConfigError])
def test_what_is_wrong_with_arguments_is_a_value_error(kind):
    assert issubclass(kind, ValueError)


@pytest.mark.parametrize(
    "form",
    [
        rs.allreduce, rs.allreduce_, rs.allreduce_async, rs.allreduce_async_, rs.reduce_scatter,
        rs.reduce_scatter_async,
    ],
)  # fmt: skip
@pytest.mark.parametrize("more", [{}, {"op": rs.Sum}], ids=["alone", "with op"])
def test_there_is_one_word_for_the_op(form, more):
    with pytest.raises(TypeError, match="unexpected keyword argument 'average'"):
        form(np.ones(3), average=True, **more)
    assert rs.allreduce(np.ones(3)).tolist() == [1] * 3


@pytest.mark.parametrize("form", [rs.alltoall, rs.alltoall_async])
@pytest.mark.parametrize(
    "splits",
    [[[3]], np.array([[3], [0]]), np.array([3.0]), np.array(3)],
    ids=["2d list", "2d", "f8", "0d"],
)
def test_splits_are_whole_numbers_in_one_row(form, splits):
    with pytest.raises(
        ConfigError, match=rf"^\[{form.__name__}\] .*; a sequence of whole numbers"
    ) as told:
        form(np.ones(3), splits)
    assert "\n" not in str(told.value)
    assert rs.alltoall(np.ones(3), np.array([3])).tolist() == [1] * 3


@pytest.mark.parametrize(
    "call",
    [
        lambda: rs.reduce_scatter(np.ones(3)), lambda: rs.reduce_scatter_async(np.ones(3)),
        lambda: rs.alltoall(np.ones(3)), lambda: rs.alltoall_async(np.ones(3)),
        lambda: rs.grouped_allreduce([np.ones(3)]), lambda: rs.grouped_allreduce_([np.ones(3)]),
        lambda: rs.grouped_allreduce_async([np.ones(3)]),
        lambda: rs.grouped_allreduce_async_([np.ones(3)]),
        lambda: rs.send(np.ones(3), 1), lambda: rs.recv(np.ones(3), 1), rs.join,
        lambda: rs.new_group([0]),
    ],
)  # fmt: skip
def test_after_shutdown_the_way_out_is_named(call):
    rs.shutdown()
    with pytest.raises(
        NotInitializedError, match=r"has shut down; .* call ringsync\.init\(\) again"
    ):
        call()


def test_a_handle_comes_from_a_call_alone():
    with pytest.raises(TypeError, match="no constructor"):
        rs.Handle()


FORMS = [
    "allreduce", "allreduce_", "allreduce_async", "allreduce_async_", "allgather",
    "allgather_async", "broadcast", "broadcast_", "broadcast_async", "broadcast_async_",
    "reduce_scatter", "reduce_scatter_async", "alltoall", "alltoall_async",
]  # fmt: skip
# What one rank alone is refused, and how it begins to say so.
REFUSED = {
    **{f"rs.{form}(X, group=OTHER)": f"[{form}] rank 1 is not in group {{0}}; " for form in FORMS},
    "rs.grouped_allreduce([X], group=OTHER)": "[grouped_allreduce] rank 1 is not in group {0}; ",
    "rs.allreduce(X, name='w', group=7)": "[allreduce] group=7 is no ProcessGroup. ",
    "rs.allreduce(X.astype(complex), name='w')": "[allreduce] dtype complex128 is not supported; ",
    "rs.allreduce_(np.ma.array(X), name='w')": "[allreduce_] 'MaskedArray' is no array that can be "
    "used, because masks do not travel. Pass its filled().",
    "rs.allreduce_(X[::2], name='w')": "[allreduce_] the array of shape (2,) has strides (16,); ",
    "rs.grouped_allreduce_([X, X[::2]], name='w')": "[grouped_allreduce_: array 1] the array of ",
    "rs.broadcast(X, True, name='w')": "[broadcast] root=True is no rank of this world; ",
    "rs.broadcast_object(X, True)": "[broadcast_object] root=True is no rank of this world; ",
    "rs.send(X, False)": "[send] to=False on rank 1; another rank of the 2 is expected. ",
    "rs.recv(X, False)": "[recv] source=False on rank 1; another rank of the 2 is expected. ",
    "rs.alltoall(X, np.ones((2, 1), int))": "[alltoall] splits=array([[1], [1]]); a sequence of ",
    "rs.broadcast_(X, 2, name='w')": "[broadcast_] root=2 is no rank of this world; ",
    "rs.alltoall(X, [2, 1], name='w')": "[alltoall] splits=[2, 1] do not cut 4 rows; 2 numbers ",
    "rs.alltoall(X, [2], name='w')": "[alltoall] splits=[2] do not cut 4 rows; 2 numbers from 0 ",
    "rs.alltoall(np.ones(3), name='w')": "[alltoall] 3 rows cannot be cut evenly for 2 ranks; ",
    "rs.allreduce(X, prescale='2', name='w')": "[allreduce] prescale='2'; a finite number is ",
    "rs.allreduce(X > 0, name='w')": "[allreduce] bool cannot be reduced by Average; ",
}


def test_a_refused_call_takes_no_name_and_no_number_so_that_its_rank_may_call_again(jobs):
    ended = jobs.run(
        2,
        f"""
        rs.init()
        X, OTHER = np.ones(4), rs.new_group([0])
        for call in {list(REFUSED)!r}:
            if RANK == 1:
                try:
                    print("nothing of", eval(call))
                except ValueError as error:
                    assert type(error) is errors.ConfigError, repr(error)
                    print(error)
            for name in ("w", None):
                assert rs.allreduce(X, op=rs.Sum, name=name).tolist() == [2.0] * 4
            assert (X == 1).all()
        """,
    )
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    for said, begin in zip(ended[1].said, REFUSED.values(), strict=True):
        assert said.startswith(begin)
