"""A device that has no memory left: told in one sentence, and work goes on where it can."""

import os
import shutil
import subprocess

import numpy as np
import pytest

from bench.device.plugin import find_plugin
from ringsync.errors import PeerLostError, RingsyncError

from ..ranks import world
from .arrays import OnDevice, seen
from .conftest import ROOT

N = 3
F32 = np.float32
COMPILER = shutil.which(os.environ.get("CXX", "g++"))
NO_MEMORY = "there is not so much left, of the device or of what can be pinned. Free some of it."


@pytest.fixture(scope="module")
def short_plugin(tmp_path_factory):
    """A plug-in that may lack memory; which one it is otherwise, the environment says."""
    if COMPILER is None:
        pytest.skip("no g++: the plug-in is compiled where there is one")
    file = tmp_path_factory.mktemp("plugin") / "short_of_memory.so"
    source = ROOT / "tests/gpu/short_of_memory.cc"
    options = ("-std=c++20", "-shared", "-fPIC", "-I", ROOT / "native")
    subprocess.run([COMPILER, *options, source, "-o", file], timeout=110, check=True)
    return str(file)


@pytest.fixture
def made(plugin, plugin_path, short_plugin, transport, monkeypatch):
    """Three ranks, of which the second one may lack memory."""
    monkeypatch.setenv("SHORT_OF_MEMORY", str(find_plugin(plugin.kind)))
    with world(N, transport, device_plugin=[plugin_path, short_plugin, plugin_path]) as made:
        yield made


def test_no_memory_for_a_fusion_buffer_is_told_once_and_arrays_go_by_the_host(
    device, made, monkeypatch, capfd
):
    # Of the simulation and of CUDA it is no smaller.
    monkeypatch.setenv("SHORT_OF_MEMORY_BYTES", str(4 * 2**20))
    arrays = [OnDevice(device, np.full(100_003, rank, F32)) for rank in range(N)]
    for turn in range(5):
        made.each(lambda rank: rank.allreduce(seen(arrays[rank.rank])))
        assert {float(x) for one in arrays for x in one.get()} == {3.0 ** (turn + 1)}
    told = capfd.readouterr().err
    assert told.count("by way of the host: [device] device 0 of rank 1: no memory for ") == 1
    assert f" bytes: {NO_MEMORY}\n" in told


def test_no_memory_for_a_result_ends_the_work_of_all_in_the_same_words(device, made, monkeypatch):
    # As where a host has none: what ranks have agreed on is not taken back.
    monkeypatch.setenv("SHORT_OF_MEMORY_BYTES", "12")
    arrays = [OnDevice(device, np.ones(1, F32)) for _ in range(N)]
    errors = made.errors(lambda rank: rank.allgather(seen(arrays[rank.rank])), RingsyncError)
    why = f"[device] device 0 of rank 1: no memory for 12 bytes: {NO_MEMORY}"
    assert str(errors[1]) == why
    for error in (errors[0], errors[2]):
        assert isinstance(error, PeerLostError)
        assert (error.rank, why in str(error)) == (1, True)
