"""Groups of some ranks: each goes on by itself, in its own order, with its own names."""

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync.errors import ConfigError, DuplicateNameError, MismatchError, PeerLostError

from ..ranks import TRANSPORTS, Collective, Op, finish, side_by_side, values_of, world
from ..transport.test_values import MEMORY, contribution, placed

KIB = 1024
both = pytest.mark.parametrize("transport", TRANSPORTS)

DTYPES = ("float64", "float32", "int64", "int16", "uint8")
# Carried by an announcement, beyond that, and more than the queues hold.
LENGTHS_BYTES = st.sampled_from([0, 8, KIB, 64 * KIB, 200 * KIB, 5 * KIB * KIB])


def in_group(ranks, group, work):
    """`work(rank, number)` on the members alone, by member."""
    members = [ranks.ranks[member] for member in group.members]
    outcomes = side_by_side(len(members), lambda i: work(members[i], group.number[members[i].rank]))
    return dict(zip(group.members, outcomes, strict=True))


def all_in_group(ranks, group, work):
    outcomes = in_group(ranks, group, work)
    values_of(list(outcomes.values()))
    return outcomes


def expected_of(kind, inputs, root):
    """What NumPy makes of the members' `inputs`, for each of them in order."""
    dtype, n, rows = inputs[0].dtype, len(inputs), len(inputs[0])
    cuts = [0, *np.cumsum([len(part) for part in np.array_split(np.arange(rows), n)])]
    shares = [slice(*cut) for cut in itertools.pairwise(cuts)]
    if kind == "broadcast":
        return [inputs[root]] * n
    if kind == "allgather":
        return [np.concatenate(inputs)] * n
    if kind == "alltoall":
        return [np.concatenate([values[share] for values in inputs]) for share in shares]
    if kind == "max":
        return [functools.reduce(np.maximum, inputs)] * n
    total = sum(values.astype(np.float64 if dtype.kind == "f" else np.int64) for values in inputs)
    if kind == "average":
        total = total / n if dtype.kind == "f" else np.trunc(total / n)
    total = total.astype(dtype)
    return [total[share] for share in shares] if kind == "reduce_scatter" else [total] * n


def perform(rank, kind, values, members, root, number):
    how = {"group": number}
    if kind in ("sum", "average", "max"):
        op = {"sum": Op.SUM, "average": Op.AVERAGE, "max": Op.MAX}[kind]
        return rank.allreduce(values, op=op, **how)
    if kind == "broadcast":
        return rank.broadcast(values, root=members[root], **how)
    if kind == "allgather":
        return rank.allgather(values, **how)
    if kind == "reduce_scatter":
        return rank.reduce_scatter(values, **how)
    n = len(members)
    splits = [len(part) for part in np.array_split(values, n)]
    return rank.alltoall(values, tuple(splits), **how)


@both
@given(
    n=st.integers(1, 6), length=LENGTHS_BYTES, dtype=st.sampled_from(DTYPES),
    memory=st.sampled_from(MEMORY), data=st.data(),
    kinds=st.lists(
        st.sampled_from(
            ["sum", "average", "max", "broadcast", "allgather", "reduce_scatter", "alltoall"]
        ),
        min_size=1, max_size=4,
    ),
)  # fmt: skip
def test_every_collective_of_a_group_equals_numpy_over_its_members(
    worlds, transport, n, length, dtype, memory, data, kinds
):
    members = sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1)))
    root = data.draw(st.integers(0, len(members) - 1))
    count = length // np.dtype(dtype).itemsize
    inputs = [contribution(member, count, np.dtype(dtype)) % 50 for member in members]
    ranks = worlds.of(n, transport)
    group = ranks.group(*members)

    def work(rank, number):
        place = members.index(rank.rank)
        return [
            perform(rank, kind, placed(rank, inputs[place], memory), members, root, number)
            for kind in kinds
        ]

    results = all_in_group(ranks, group, work)
    group.close_all()
    for i, kind in enumerate(kinds):
        # All are small whole numbers, and so are sums: only a mean is rounded.
        equal = np.testing.assert_array_equal
        if kind == "average" and inputs[0].dtype.kind == "f":
            equal = functools.partial(np.testing.assert_allclose, rtol=1e-6)
        for member, expected in zip(members, expected_of(kind, inputs, root), strict=True):
            equal(results[member][i], expected)
    for i, kind in enumerate(kinds):
        if kind in ("sum", "average", "max"):
            assert len({results[member][i].tobytes() for member in members}) == 1


@both
@given(data=st.data(), n=st.integers(2, 5), turns=st.integers(1, 12))
def test_operations_of_many_groups_mix_in_any_order(worlds, transport, data, n, turns):
    ranks = worlds.of(n, transport)
    parts = st.sets(st.integers(0, n - 1), min_size=1)
    groups = [
        ranks.group(*sorted(one)) for one in data.draw(st.lists(parts, min_size=1, max_size=4))
    ]
    calls = [(turn, which) for turn in range(turns) for which in range(len(groups))]
    orders = [data.draw(st.permutations(calls)) for _ in range(n)]
    counts = [data.draw(st.sampled_from([1, 3000, 40_000])) for _ in groups]

    def work(rank):
        handles = {}
        for turn, which in orders[rank.rank]:
            if rank.rank not in groups[which].members:
                continue
            array = np.full(counts[which], float(turn + rank.rank))
            number = groups[which].number[rank.rank]
            name = f"t{turn}"  # the same in all groups
            handles[turn, which] = (
                array,
                rank.submit(Collective.ALLREDUCE, array, name=name, group=number),
            )
        for _, handle in handles.values():
            finish(handle)
        return {call: set(array.tolist()) for call, (array, _) in handles.items()}

    results = ranks.each(work)
    for which, group in enumerate(groups):
        for turn in range(turns):
            total = float(sum(turn + member for member in group.members))
            assert all(results[member][turn, which] == {total} for member in group.members)
        group.close_all()


@both
def test_groups_of_equal_ranks_keep_names_and_numbers_apart(transport):
    with world(2, transport) as ranks:
        a, b = ranks.group(0, 1), ranks.group(0, 1)

        def work(rank):
            here = rank.rank
            order = [(a, 1.0), (b, 10.0)] if here == 0 else [(b, 10.0), (a, 1.0)]
            found = {}
            for name in (None, "x"):
                handles = []
                for group, value in order:
                    array = np.full(3, value)
                    number = group.number[here]
                    handles.append(
                        (
                            value,
                            array,
                            rank.submit(Collective.ALLREDUCE, array, name=name, group=number),
                        )
                    )
                for value, array, handle in handles:
                    finish(handle)
                    found[name, value] = array[0]
            return found

        expected = {(name, value): 2 * value for name in (None, "x") for value in (1.0, 10.0)}
        assert ranks.each(work) == [expected] * 2


def test_a_name_is_taken_in_one_group_only():
    with world(2) as ranks:
        first, second = ranks.ranks
        a, b = ranks.group(0, 1), ranks.group(0, 1)
        arrays = np.ones((3, 2))
        handles = [
            first.submit(Collective.ALLREDUCE, arrays[i], name="x", group=number)
            for i, number in enumerate([0, a.number[0], b.number[0]])
        ]
        with pytest.raises(
            DuplicateNameError,
            match=r"\[allreduce\] 'x' is still in flight on rank 0 in group \{0, 1\}\. Wait",
        ):
            first.submit(Collective.ALLREDUCE, np.ones(2), name="x", group=a.number[0])
        for number in [0, a.number[1], b.number[1]]:
            second.allreduce(np.ones(2), name="x", group=number)
        for handle in handles:
            finish(handle)
        assert arrays.tolist() == [[2, 2]] * 3


@both
def test_a_mismatch_names_ranks_of_the_world_and_the_group_goes_on(transport):
    with world(4, transport) as ranks:
        group = ranks.group(1, 3)

        def told(work):
            outcomes = in_group(ranks, group, work)
            assert all(isinstance(one, MismatchError) for one in outcomes.values()), outcomes
            assert len({str(one) for one in outcomes.values()}) == 1
            assert all_in_group(
                ranks, group, lambda rank, number: rank.allreduce(np.ones(2), group=number)[0]
            ) == {1: 2.0, 3: 2.0}
            return str(outcomes[1])

        message = told(
            lambda rank, number: rank.allreduce(np.ones(rank.rank), name="w", group=number)
        )
        assert "'w': rank 3 sent shape (3,), rank 1 (1,)" in message
        message = told(
            lambda rank, number: rank.broadcast(np.ones(2), root=rank.rank, group=number)
        )
        assert "rank 3 named root 3, rank 1 1. Use one root" in message
        ranks.require_usable()


def test_a_root_that_is_not_in_the_group_is_refused():
    with world(3) as ranks:
        group = ranks.group(1, 2)
        with pytest.raises(ConfigError, match=r"root 0 .*make no request of 2 ranks"):
            ranks.ranks[1].broadcast(np.ones(2), root=0, group=group.number[1])


@pytest.mark.parametrize("members", [[], [0, 0], [1, 0], [0, 3], [-1, 0], [1, 2]], ids=str)
def test_ranks_that_make_no_group_of_rank_0_are_refused(worlds, members):
    with pytest.raises(ConfigError, match="make no group of rank 0 of 3"):
        worlds.of(3, "inproc").ranks[0].engine.offer_group("x", members)


@both
def test_the_loss_of_a_rank_ends_what_needs_it_and_with_it_all_of_that_engine(transport):
    with world(4, transport) as ranks:
        safe, lost = ranks.group(0, 1), ranks.group(2, 3)
        ranks.ranks[3].engine.shutdown("it had enough")
        told = r"rank 2 of 4 in group \{2, 3\} lost rank 3"
        with pytest.raises(PeerLostError, match=told) as caught:
            ranks.ranks[2].allreduce(np.ones(3), name="t", group=lost.number[2])
        assert (caught.value.rank, caught.value.tensor) == (3, "t")
        with pytest.raises(PeerLostError) as again:
            ranks.ranks[2].barrier()
        assert str(again.value) == str(caught.value)
        assert all_in_group(
            ranks, safe, lambda rank, number: rank.allreduce(np.ones(2), group=number)[0]
        ) == {0: 2.0, 1: 2.0}
        lost.close(2)
