"""NCCL that is not there, does not come, fails or waits: sums are made all the same, or one error.

On the simulated device, with the fake NCCL.
"""

import numpy as np
import pytest

from ringsync.errors import NotInitializedError, PeerLostError, RingsyncError, TimedOutError

from ..ranks import Collective, finish, until
from .arrays import OnDevice, seen, values_in
from .nccl_rank import held
from .nccl_ways import F32, LARGE, N, ways, ways_of


@pytest.mark.parametrize(
    ("fault", "tellers"),
    [
        ("init=fail", N),
        ("id=fail", 1),
        ("version=21700", N),
        ("memory=fail", N),
        ("window=fail", N),
    ],
)
def test_without_it_sums_are_made_as_before_and_somebody_says_why(
    simulated, begin_with_nccl, faults, capfd, fault, tellers
):
    faults(fault)
    with begin_with_nccl() as made:
        told = ""

        def is_told():
            nonlocal told
            assert ways(simulated, made) == {"run"}
            told += capfd.readouterr().err
            return told.count("without NCCL") >= tellers

        until(is_told)
        is_told()  # nor does a further sum have anybody say so once more
    assert told.count("without NCCL") == tellers, told
    assert "[ringsync] rank 0 of 3 sums arrays on devices without NCCL: [nccl] " in told


def test_ranks_join_whether_or_not_anything_else_is_asked_of_them(simulated, begin_with_nccl):
    with begin_with_nccl() as made:
        ways(simulated, made)
        until(lambda: sum("rw-s" in line for line in held()) == N)


@pytest.mark.parametrize("fault", ["init=hang", "stuck", "hang"])
def test_nobody_waits_for_ranks_that_do_not_come_together(
    simulated, begin_with_nccl, faults, fault
):
    faults(fault)
    with begin_with_nccl() as made:
        for _ in range(3):
            assert ways(simulated, made) == {"run"}
        made.close()  # which would hang with them


def test_a_sum_that_never_ends_is_a_time_out_and_ends_no_later(simulated, joined, faults):
    arrays = [OnDevice(simulated, np.ones(LARGE, F32)) for _ in range(N)]
    simulated.keep_memory()
    faults("hang")
    errors = joined.errors(
        lambda rank: rank.allreduce(seen(arrays[rank.rank]), timeout_s=0.5), RingsyncError
    )
    assert any(isinstance(error, TimedOutError) for error in errors)
    joined.close()


def test_what_fails_in_nccl_is_told_on_all_ranks(simulated, joined, faults):
    arrays = [OnDevice(simulated, np.ones(LARGE, F32)) for _ in range(N)]
    simulated.keep_memory()
    faults("async=6")

    def work(rank):
        for _ in range(3):
            rank.allreduce(seen(arrays[rank.rank]))

    for error in joined.errors(work, RingsyncError):
        assert "NCCL" in str(error) or "nccl" in str(error) or isinstance(error, PeerLostError)


def test_a_rank_that_shuts_down_is_named_by_the_others(simulated, joined):
    arrays = [OnDevice(simulated, np.ones(LARGE, F32)) for _ in range(N)]
    simulated.keep_memory()

    def work(rank):
        if rank.rank == 1:
            rank.engine.shutdown("it had enough")
        rank.allreduce(seen(arrays[rank.rank]))

    first, own, last = joined.errors(work, (PeerLostError, NotInitializedError))
    assert isinstance(own, NotInitializedError)
    assert "it had enough" in str(first)
    assert "it had enough" in str(last)


def grouped(simulated, made):
    """Two groups of the same two ranks, of which all ranks know that NCCL has joined them."""
    groups = [made.group(0, 1), made.group(0, 1)]
    for group in groups:
        until(lambda group=group: ways_of(simulated, made, group) == {"nccl"})
    return groups


def test_first_calls_of_a_kind_may_meet_crosswise_in_two_groups(simulated, joined, faults):
    # Each rank's first call of a kind waits for the others', and they come in opposite orders.
    groups = grouped(simulated, joined)
    faults("connect")
    parts = [[OnDevice(simulated, np.full(LARGE, rank, F32)) for _ in groups] for rank in range(2)]

    def work(rank):
        if rank.rank == 2:
            return []
        order = [0, 1] if rank.rank == 0 else [1, 0]
        handles = {}
        for k in order:
            handles[k] = rank.submit(
                Collective.ALLGATHER, seen(parts[rank.rank][k]), group=groups[k].number[rank.rank]
            )
        return [handles[k].result() for k in range(2)]

    for results in joined.each(work)[:2]:
        for result in results:
            values = values_in(simulated, result, F32)
            assert (values == np.repeat([0, 1], LARGE)).all()


def test_what_nccl_does_not_take_in_holds_up_no_other_group(simulated, joined, faults):
    (group, other) = grouped(simulated, joined)
    arrays = [OnDevice(simulated, np.ones(LARGE, F32)) for _ in range(2)]
    simulated.keep_memory()
    faults("stuck")

    def work(rank):
        if rank.rank == 2:
            return
        handle = rank.submit(
            Collective.ALLREDUCE,
            seen(arrays[rank.rank]),
            group=group.number[rank.rank],
            timeout_s=3.0,
        )
        for _ in range(30):  # in a small part of that time
            total = rank.allreduce(np.ones(1000), group=other.number[rank.rank])
            assert (total == 2).all()
        assert not handle.done()
        with pytest.raises((TimedOutError, PeerLostError)):
            finish(handle)

    joined.each(work)


def test_an_error_while_a_sum_is_on_its_way_is_found_without_another_call(
    simulated, joined, faults
):
    arrays = [OnDevice(simulated, np.ones(LARGE, F32)) for _ in range(N)]
    simulated.keep_memory()
    faults("hang,async=6")
    for error in joined.errors(lambda rank: rank.allreduce(seen(arrays[rank.rank])), RingsyncError):
        assert not isinstance(error, TimedOutError)
