"""The event log: each operation's stages, in order, none overlapping another in its lane."""

import itertools

import numpy as np
import pytest

from ..ranks import TRANSPORTS, Collective, finish, world


def spans(events, lane="engine"):
    return sorted((start, end, name) for where, name, start, end, _, _ in events if where == lane)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_agree_and_run_of_every_operation_are_recorded_and_never_overlap(transport):
    def work(rank):
        rank.engine.start_events()
        arrays = [np.ones(20_000) for _ in range(50)]
        handles = [
            rank.submit(Collective.ALLREDUCE, array, name=f"t{i}") for i, array in enumerate(arrays)
        ]
        for handle in handles:
            finish(handle)
        rank.barrier(name="end")
        rank.engine.stop_events()
        return rank.engine.take_events()

    with world(3, transport) as ranks:
        for events in ranks.each(work):
            for kind in ("agree", "run"):
                tensors = [tensor for _, name, _, _, tensor, _ in events if name == kind]
                assert tensors[:50] == [f"t{i}" for i in range(50)]
            assert {size for *_, tensor, size in events if tensor == "t7"} == {160_000}
            ordered = spans(events)
            assert all(start <= end for start, end, _ in ordered)
            assert all(a[1] <= b[0] for a, b in itertools.pairwise(ordered))


def test_a_complete_operation_is_already_in_the_log():
    # Whoever has seen that the last operation is done may stop and write the log at once.
    def work(rank):
        complete = 0
        rank.engine.start_events()
        for _ in range(500):
            array = np.ones(3)
            handle = rank.submit(Collective.ALLREDUCE, array)
            while not handle.done():
                pass
            complete += sum(name == "run" for _, name, *_ in rank.engine.take_events())
            rank.barrier()
            rank.engine.take_events()
        return complete

    with world(1) as ranks:
        assert ranks.each(work) == [500]


def test_nothing_is_recorded_before_start_and_after_stop():
    def work(rank):
        rank.barrier()
        before = rank.engine.take_events()
        rank.engine.start_events()
        rank.engine.stop_events()
        rank.barrier()
        return before + rank.engine.take_events()

    with world(2) as ranks:
        assert ranks.each(work) == [[], []]


def test_events_are_taken_once_and_a_new_start_forgets_old_ones():
    def work(rank):
        rank.engine.start_events()
        rank.barrier()
        first = len(rank.engine.take_events())
        again = len(rank.engine.take_events())
        rank.barrier()
        rank.engine.start_events()
        return first, again, len(rank.engine.take_events())

    with world(2) as ranks:
        assert ranks.each(work) == [(3, 0, 0)] * 2  # agree, run and wait


def test_events_from_above_the_door_keep_all_their_facts():
    with world(1) as ranks:
        engine = ranks.ranks[0].engine
        engine.record_event("train", "lost", 1, 2, "", 0)
        engine.start_events()
        engine.record_event("train", "forward", 10, 20, "é", 7)
        assert engine.take_events() == [("train", "forward", 10, 20, "é", 7)]
        assert engine.dropped_events() == 0


def test_a_full_log_counts_what_it_drops():
    with world(1) as ranks:
        engine = ranks.ranks[0].engine
        engine.start_events()
        for _ in range(1_000_005):
            engine.record_event("train", "step", 0, 1, "", 0)
        assert engine.dropped_events() == 5
        assert len(engine.take_events()) == 1_000_000
        engine.start_events()
        assert engine.dropped_events() == 0


def test_stages_of_a_handle_follow_one_another():
    def work(rank):
        array = np.ones(1000)
        handle = rank.submit(Collective.ALLREDUCE, array)
        finish(handle)
        return handle.times()

    with world(2) as ranks:
        for times in ranks.each(work):
            assert 0 < times[0] <= times[1] <= times[2] <= times[3]
