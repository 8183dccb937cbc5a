"""A device that has no memory left: told in one sentence, and work goes on where it can."""

import numpy as np
import pytest

from ringsync.errors import PeerLostError, RingsyncError

from ..ranks import world
from .arrays import OnDevice, seen

N = 3
F32 = np.float32
NO_MEMORY = "there is not so much left, of the device or of what can be pinned. Free some of it."


@pytest.fixture
def made(plugin_path, stand_in, transport):
    """Three ranks, of which the second one may lack memory."""
    with world(N, transport, device_plugin=[plugin_path, stand_in, plugin_path]) as made:
        yield made


def test_no_memory_for_a_fusion_buffer_is_told_once_and_arrays_go_by_the_host(
    device, made, monkeypatch, capfd
):
    # Of the simulation and of CUDA it is no smaller.
    monkeypatch.setenv("STAND_IN_BYTES", str(4 * 2**20))
    arrays = [OnDevice(device, np.full(100_003, rank, F32)) for rank in range(N)]
    for turn in range(5):
        made.each(lambda rank: rank.allreduce(seen(arrays[rank.rank])))
        assert {float(x) for one in arrays for x in one.get()} == {3.0 ** (turn + 1)}
    told = capfd.readouterr().err
    assert told.count("by way of the host: [device] device 0 of rank 1: no memory for ") == 1
    assert f" bytes: {NO_MEMORY}\n" in told


def test_no_memory_for_a_result_ends_the_work_of_all_in_the_same_words(device, made, monkeypatch):
    # As where a host has none: what ranks have agreed on is not taken back.
    monkeypatch.setenv("STAND_IN_BYTES", "12")
    arrays = [OnDevice(device, np.ones(1, F32)) for _ in range(N)]
    errors = made.errors(lambda rank: rank.allgather(seen(arrays[rank.rank])), RingsyncError)
    why = f"[device] device 0 of rank 1: no memory for 12 bytes: {NO_MEMORY}"
    assert str(errors[1]) == why
    for error in (errors[0], errors[2]):
        assert isinstance(error, PeerLostError)
        assert (error.rank, why in str(error)) == (1, True)
