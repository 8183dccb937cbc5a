"""What goes wrong with arrays on devices: one sentence on all ranks, and nothing waits for ever."""

import time

import numpy as np
import pytest

from ringsync.errors import (
    ConfigError,
    MismatchError,
    NotInitializedError,
    PeerLostError,
    TimedOutError,
)

from ..ranks import DEADLINE_S, Collective, finish, world
from .arrays import OnDevice, seen

N = 3
F32 = np.float32


def test_a_host_array_on_one_rank_is_told_on_all_and_nothing_moves(device, made):
    arrays = [OnDevice(device, np.full(12, rank, F32)) for rank in range(N)]

    def work(rank):
        x = np.ones(12, F32) if rank.rank == 1 else seen(arrays[rank.rank])
        rank.allreduce(x, name="w")

    (story,) = {str(error) for error in made.errors(work, MismatchError)}
    assert "rank 1 sent an array on cpu, rank 0 one on cuda. " in story
    assert all((arrays[rank].get() == rank).all() for rank in (0, 2))
    made.require_usable()


def test_a_rank_without_a_way_to_its_device_is_told_on_all(device, plugin_path, transport):
    arrays = [OnDevice(device, np.ones(12, F32)) for _ in range(N)]
    with world(N, transport, device_plugin=[plugin_path, "", plugin_path]) as made:

        def work(rank):
            rank.allreduce(seen(arrays[rank.rank]), name="w")

        (story,) = {str(error) for error in made.errors(work, MismatchError)}
        assert story == (
            "[allreduce] 'w': rank 1 has no way to its arrays on cuda, rank 0 reaches its arrays "
            "on cuda. Copy them to the host on all ranks, or see what 'ringsync info' tells on "
            "each."
        )
        made.require_usable()


@pytest.mark.alone
def test_a_device_that_does_not_get_ready_ends_the_call_in_time(device, made, gate):
    warm = [OnDevice(device, np.ones(12, F32)) for _ in range(N)]
    made.each(lambda rank: rank.allreduce(seen(warm[rank.rank])))  # the first one takes its time
    arrays = [OnDevice(device, np.ones(12, F32), stream=gate.stream) for _ in range(N)]
    device.keep_memory()
    gate.close()

    def work(rank):
        began_s = time.monotonic()
        try:
            rank.allreduce(seen(arrays[rank.rank]), name="w", timeout_s=0.3)
        finally:
            assert time.monotonic() - began_s < DEADLINE_S / 3

    stories = [str(error) for error in made.errors(work, Exception)]
    assert any("its own device has not moved the array's values" in story for story in stories), (
        stories
    )


@pytest.mark.alone
def test_what_comes_behind_values_that_are_late_blames_nobody_else(device, made, gate):
    warm = [OnDevice(device, np.ones(12, F32)) for _ in range(N)]
    made.each(lambda rank: rank.allreduce(seen(warm[rank.rank])))
    streams = [gate.stream, device.stream(), device.stream()]
    late = [OnDevice(device, np.ones(12, F32), stream=streams[rank]) for rank in range(N)]
    device.keep_memory()
    gate.close()

    def work(rank):
        rank.submit(Collective.ALLREDUCE, seen(late[rank.rank]))
        timeout_s = 0.5 if rank.rank == 0 else None
        rank.allreduce(np.ones(12, F32), name="of the host", timeout_s=timeout_s)

    own, *others = [str(error) for error in made.errors(work, (TimedOutError, PeerLostError))]
    assert "'of the host'" in own
    assert "its own device has not moved the array's values" in own
    for story in others:
        assert "its own device stands still" in story


@pytest.mark.alone
@pytest.mark.parametrize("count", [12, 100_003], ids=["copied to the host", "left there"])
def test_a_shut_down_does_not_wait_for_a_device_for_ever(
    device, plugin_path, transport, gate, count
):
    arrays = [OnDevice(device, np.ones(count, F32), stream=gate.stream) for _ in range(N)]
    device.keep_memory()
    gate.close()
    with world(N, transport, device_plugin=plugin_path) as made:
        handles = made.each(lambda rank: rank.submit(Collective.ALLREDUCE, seen(arrays[rank.rank])))
        began_s = time.monotonic()
        made.close()
        assert time.monotonic() - began_s < DEADLINE_S / 3
        for handle in handles:
            with pytest.raises((NotInitializedError, PeerLostError)):
                finish(handle)


def test_what_lies_on_no_device_is_refused(device, made):
    x = OnDevice(device, np.ones(4, F32))
    x.address = np.ones(4, F32).ctypes.data
    (rank, *_) = made.ranks
    rank.submit(Collective.SEND, seen(OnDevice(device, np.ones(1, F32))), root=0, peer=1)
    with pytest.raises(
        ConfigError, match=r"^\[send\] the array lies on no device, and rank 0 work"
    ):
        rank.send(seen(x), 1)
