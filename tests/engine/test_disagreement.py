"""Ranks that disagree: one sentence with both ranks, the same on all, and work goes on."""

import numpy as np
import pytest

from ringsync import _native
from ringsync.errors import ConfigError, DuplicateNameError, MismatchError

from ..ranks import TRANSPORTS, Collective, Op, Rank, World, finish, world

F32 = np.float32


def require_mismatch(ranks: World, work, *parts: str) -> None:
    errors = ranks.errors(work, MismatchError)
    message = str(errors[0])
    assert {str(error) for error in errors} == {message}, "ranks tell different stories"
    for part in parts:
        assert part in message
    ranks.require_usable()


def odd_one(rank, usual, odd):
    """`odd` on rank 2, `usual` elsewhere."""
    return odd if rank.rank == 2 else usual


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("memory", ["private", "registered"])
def test_a_shape_mismatch_names_both_ranks_and_shapes_and_moves_nothing(transport, memory):
    with world(3, transport) as ranks:

        def work(rank):
            array = np.full(odd_one(rank, (4, 3), (3, 4)), rank.rank, F32)
            array = rank.registered(array) if memory == "registered" else array
            try:
                rank.allreduce(array, name="fc1.weight")
            finally:
                assert (array == rank.rank).all()

        require_mismatch(
            ranks, work, "[allreduce] 'fc1.weight'", "rank 2 sent shape (3, 4)", "rank 0 (4, 3)"
        )


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("count", [3, 100_000])
def test_ranks_a_step_apart_are_told_both_steps_and_nothing_moves(transport, count):
    with world(3, transport) as ranks:

        def work(rank):
            array = np.full(count, rank.rank, F32)
            try:
                rank.allreduce(array, name="g", step=odd_one(rank, 2**40 + 1, 2**40))
            finally:
                assert (array == rank.rank).all()

        require_mismatch(ranks, work, f"'g': rank 2 is at step {2**40}, rank 0 at step {2**40 + 1}")
        results = ranks.each(lambda rank: rank.allreduce(np.ones(count, F32), name="g", step=7))
        assert all((result == 3).all() for result in results)


def test_a_step_apart_is_told_of_one_call_of_several_that_travel_together():
    with world(2) as ranks:

        def work(rank):
            steps = [5, 5 + rank.rank, 5]
            handles = [
                rank.submit(Collective.ALLREDUCE, np.ones(3, F32), name=f"g.{k}", step=step)
                for k, step in enumerate(steps)
            ]
            finish(handles[0])
            finish(handles[2])
            finish(handles[1])

        require_mismatch(ranks, work, "'g.1': rank 1 is at step 6, rank 0 at step 5")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", r"'a\nb'"),
        ("\x1b[31mred", r"'\x1b[31mred'"),
        ("nul\0x\x7f", r"'nul\x00x\x7f'"),
        ("a\u202eb\u2066c\u0085d", r"'a\xe2\x80\xaeb\xe2\x81\xa6c\xc2\x85d'"),
        ("käse - 漢 \u2030", "'käse - 漢 \u2030'"),
        ("é\u2028", r"'é\xe2\x80\xa8'"),
    ],
)
def test_a_name_is_shown_in_one_line_whatever_it_holds(name, shown):
    with world(2) as ranks:

        def work(rank):
            rank.allreduce(np.zeros(4 + rank.rank), name=name)

        require_mismatch(ranks, work, f"[allreduce] {shown}: rank 1")
        first = ranks.ranks[0]
        kept = first.submit(Collective.ALLREDUCE, np.zeros(1), name=name)
        with pytest.raises(DuplicateNameError) as caught:
            first.submit(Collective.ALLREDUCE, np.zeros(1), name=name)
        assert f"[allreduce] {shown} is still in flight" in str(caught.value)
        assert not kept.done()


def test_a_very_long_name_is_cut():
    name = "x" + "é" * 10_000
    with world(2) as ranks:
        first = ranks.ranks[0]
        kept = first.submit(Collective.ALLREDUCE, np.zeros(1), name=name)
        with pytest.raises(DuplicateNameError) as caught:
            first.submit(Collective.ALLREDUCE, np.zeros(1), name=name)
        assert "'x" + "é" * 99 + "...' is still" in str(caught.value)
        del kept


@pytest.mark.parametrize(
    ("usual", "odd", "parts"),
    [
        (np.zeros(4, F32), np.zeros(4), ("rank 2 sent float64", "rank 0 float32")),
        (np.zeros(4, F32), np.zeros(4, np.int32), ("rank 2 sent int32", "rank 0 float32")),
        (np.zeros(4, F32), np.zeros(5, F32), ("(5,)", "(4,)")),
        (np.zeros(4, F32), np.zeros((4, 1), F32), ("(4, 1)", "(4,)")),
        (np.zeros((), F32), np.zeros(1, F32), ("(1,)", "()")),
        (np.zeros(0, F32), np.zeros((0, 3), F32), ("(0, 3)", "(0,)")),
    ],
    ids=["width", "kind", "length", "dimensions", "scalar", "empty"],
)
def test_an_array_that_differs_is_described_on_every_rank(usual, odd, parts):
    with world(3) as ranks:
        require_mismatch(
            ranks,
            lambda rank: rank.allreduce(odd_one(rank, usual, odd).copy(), name="w"),
            "'w'",
            "rank 2",
            "rank 0",
            *parts,
        )


def test_ops_that_differ_are_named():
    with world(3) as ranks:
        require_mismatch(
            ranks,
            lambda rank: rank.allreduce(np.ones(3), op=odd_one(rank, Op.SUM, Op.AVERAGE), name="w"),
            "'w'",
            "rank 2 asked for Average",
            "rank 0 Sum",
        )


def test_roots_that_differ_are_named():
    with world(3) as ranks:
        require_mismatch(
            ranks,
            lambda rank: rank.broadcast(np.ones(3), root=odd_one(rank, 0, 1), name="w"),
            "[broadcast] 'w'",
            "rank 2 named root 1",
            "rank 0 0",
        )


@pytest.mark.parametrize("name", ["w", None])
def test_different_collectives_under_one_name_or_number_are_named(name):
    def work(rank):
        if rank.rank == 2:
            rank.barrier(name=name)
        else:
            rank.allreduce(np.ones(3), name=name)

    with world(3) as ranks:
        label = f"'{name}'" if name else "'unnamed 0'"
        require_mismatch(ranks, work, label, "rank 2 submitted barrier", "rank 0 allreduce")


def test_an_allgather_may_differ_in_its_first_dimension_only():
    with world(3) as ranks:
        require_mismatch(
            ranks,
            lambda rank: rank.allgather(np.ones(odd_one(rank, (2, 3), (5, 4))), name="rows"),
            "[allgather] 'rows'",
            "rank 2 sent shape (5, 4)",
            "rank 0 (2, 3)",
            "first dimension",
        )


def test_a_mismatch_in_the_middle_fails_that_operation_alone():
    def work(rank):
        arrays = [np.ones(2 if turn == 5 and rank.rank == 1 else 3) for turn in range(10)]
        handles = [rank.submit(Collective.ALLREDUCE, array) for array in arrays]
        failed = []
        for turn, handle in enumerate(handles):
            try:
                finish(handle)
            except MismatchError:
                failed.append(turn)
        assert all(array[0] == 3.0 for turn, array in enumerate(arrays) if turn != 5)
        return failed

    with world(3) as ranks:
        assert ranks.each(work) == [[5]] * 3


@pytest.mark.parametrize(
    "name",
    ["layer." * 40, "é" * 60, "重み" * 30, ""],
    ids=["long", "of two bytes", "of three", "empty"],
)
def test_any_name_can_be_told_in_a_mismatch(name):
    with world(2) as ranks:
        require_mismatch(
            ranks, lambda rank: rank.allreduce(np.ones(2 + rank.rank), name=name), name[:25]
        )


def test_more_dimensions_than_supported_is_an_error_that_spares_the_engine():
    def work(rank):
        with pytest.raises(ConfigError, match="9 dimensions; at most 8"):
            rank.allreduce(np.ones((1,) * 9), name="w")

    with world(2) as ranks:
        ranks.each(work)
        ranks.require_usable()


def test_summing_truth_values_is_an_error_that_spares_the_engine():
    def work(rank):
        with pytest.raises(ConfigError, match="bool cannot be reduced by Sum"):
            rank.allreduce(np.ones(3, np.bool_), name="w")

    with world(2) as ranks:
        ranks.each(work)
        ranks.require_usable()


def test_an_empty_array_with_large_dimensions_is_as_good_as_any():
    with world(2) as ranks:
        assert (
            ranks.each(lambda rank: rank.allreduce(np.empty((2**22, 2**21, 0), F32)).shape)
            == [(2**22, 2**21, 0)] * 2
        )


def test_ranks_that_prefer_other_algorithms_are_told_or_get_right_values_all_the_same():
    # Settings come from each process's own environment.
    def work(rank):
        array = np.arange(1000.0) * (rank.rank + 1)
        try:
            rank.allreduce(array)
        except MismatchError:
            return "told"
        np.testing.assert_array_equal(array, np.arange(1000.0) * 3)
        return "right"

    with world(2, algorithm=["ring", "direct"]) as ranks:
        assert len(set(ranks.each(work))) == 1


def test_an_unknown_algorithm_is_refused():
    with pytest.raises(ConfigError, match="'rnig' is unknown"):
        Rank(_native.memory_store(), 0, 1, "inproc", "rnig")


@pytest.mark.parametrize("n", [2, 8])
def test_a_thousand_mismatches_leave_no_trace(n):
    def work(rank):
        for turn in range(1000 // n):
            with pytest.raises(MismatchError):
                rank.allreduce(np.ones(3 + rank.rank), name=f"t{turn}")

    with world(n) as ranks:
        ranks.each(work)
        ranks.require_usable()


def test_ctrl_c_while_an_error_is_made_is_ctrl_c(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with world(2) as ranks:
        monkeypatch.setattr(MismatchError, "__init__", interrupted)
        errors = ranks.errors(
            lambda rank: rank.allreduce(np.ones(2 + rank.rank), name="x"), KeyboardInterrupt
        )
        monkeypatch.undo()
        assert len(errors) == 2
        ranks.require_usable()
