"""What a group takes is let go of when it is closed, and whoever still needs it is told."""

import gc
import threading

import numpy as np
import pytest

from ringsync.errors import ConfigError, MismatchError, NotInitializedError

from ..ranks import TRANSPORTS, Collective, finish, until, world
from ..transport.test_memory import open_descriptors, shared_mappings

both = pytest.mark.parametrize("transport", TRANSPORTS)


@both
def test_fifty_groups_come_and_go_and_leave_no_descriptor_or_mapping(transport):
    def remains():
        gc.collect()
        return open_descriptors(), shared_mappings()

    def turn(ranks, *members):
        group = ranks.group(*members)

        def work(rank):
            if rank.rank in members:
                for array in (np.ones(3), rank.registered(np.ones(30_000)), np.ones(600_000)):
                    rank.allreduce(array, group=group.number[rank.rank])

        ranks.each(work)
        group.close_all()

    with world(4, transport) as ranks:
        turn(ranks, 0, 1, 2, 3)
        before = remains()
        for number in range(50):
            turn(ranks, *[(0, 1), (1, 2, 3), (2,), (0, 1, 2, 3)][number % 4])
        # A rank's own thread may be about to let go of the last one.
        until(lambda: remains() == before)
        ranks.require_usable()


@both
def test_a_group_with_operations_in_flight_cannot_be_closed(transport):
    with world(2, transport) as ranks:
        first, second = ranks.ranks
        group = ranks.group(0, 1)
        arrays = np.ones((2, 3))
        handles = [
            first.submit(Collective.ALLREDUCE, array, group=group.number[0]) for array in arrays
        ]
        for _ in range(2):
            with pytest.raises(
                ConfigError,
                match=r"\[close\] group \{0, 1\}: 2 operations are in flight on rank 0\. Wait for "
                r"the handles first \(wait\(\) without a stream waits for the device\)\.$",
            ):
                group.close(0)
        for _ in arrays:
            second.allreduce(np.ones(3), group=group.number[1])
        for handle in handles:
            finish(handle)
        group.close_all()


def test_a_group_may_be_closed_as_soon_as_its_last_call_has_returned():
    with world(2) as ranks:
        for turn in range(100):
            group = ranks.group(0, 1)

            def work(rank, group=group, turn=turn):
                for _ in range(turn % 3):
                    rank.allreduce(np.ones(50_000 * (turn % 2) + 1), group=group.number[rank.rank])
                group.close(rank.rank)

            ranks.each(work)


def test_a_closed_group_is_no_group():
    with world(2) as ranks:
        group, other = ranks.group(0, 1), ranks.group(0, 1)
        group.close_all()
        with pytest.raises(
            ConfigError, match=r"no open group of this rank's. Close each group once"
        ):
            group.close(0)
        with pytest.raises(ConfigError, match=r"\[allreduce\] group number \d+ is closed, or none"):
            ranks.ranks[0].allreduce(np.ones(3), group=group.number[0])
        assert group.number[0] != ranks.group(0, 1).number[0]
        other.close_all()


@both
@pytest.mark.parametrize("count", [3, 300_000], ids=["carried", "alone"])
def test_whoever_needs_a_rank_that_has_closed_the_group_is_told_and_goes_on(transport, count):
    with world(3, transport) as ranks:
        group = ranks.group(0, 1, 2)

        def work(rank):
            number = group.number[rank.rank]
            assert rank.allreduce(np.ones(count), group=number)[0] == 3
            if rank.rank == 1:
                group.close(1)
                return
            errors = []
            for name in ("late", None):
                with pytest.raises(MismatchError) as caught:
                    rank.allreduce(np.ones(count), name=name, group=number)
                errors.append(str(caught.value))
            assert errors[0] == errors[1]
            assert errors[0].startswith(
                f"[allreduce] 'late': rank 1 has closed group {{0, 1, 2}}, rank {rank.rank} of 3 "
                "has not. Close"
            )
            group.close(rank.rank)

        ranks.each(work)
        ranks.require_usable()


@both
def test_a_rank_that_sleeps_in_a_group_is_woken_when_another_closes_it(transport):
    with world(2, transport) as ranks:
        group = ranks.group(0, 1)
        found = []

        def wait():
            try:
                ranks.ranks[0].barrier(group=group.number[0])
            except MismatchError as error:
                found.append(str(error))

        thread = threading.Thread(target=wait)
        thread.start()
        group.close(1)
        thread.join()
        assert "rank 1 has closed group {0, 1}" in found[0]


def test_after_shutdown_there_is_nothing_to_close():
    with world(2) as ranks:
        group = ranks.group(0, 1)
        ranks.ranks[0].engine.shutdown("the test ends it")
        with pytest.raises(NotInitializedError, match="was called after shutdown"):
            group.close(0)


def test_names_are_free_again_in_a_new_group():
    with world(2) as ranks:
        for _ in range(3):
            group = ranks.group(0, 1)
            ranks.each(lambda rank, of=group: rank.barrier(name="x", group=of.number[rank.rank]))
            group.close_all()
