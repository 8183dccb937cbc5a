"""Names for what is on a device's streams: they reach a tool by CUDA's plug-in."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.device.abi import Status
from bench.device.plugin import Plugin, PluginError, find_plugin

from ..ranks import world
from .arrays import OnDevice, seen
from .conftest import ROOT, compile_library

HEADER = Path("/usr/local/cuda/include/nvtx3/nvToolsExt.h")
RANGES = """
import sys
from pathlib import Path
from bench.device.plugin import Plugin
plugin = Plugin(Path(sys.argv[1]))
plugin.call("range_begin", b"pack")
plugin.call("range_begin", b"run")
plugin.call("range_end")
plugin.call("range_end")
"""


def run_ranges(**environment):
    try:
        path = find_plugin("cuda")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    return subprocess.run(
        [sys.executable, "-c", RANGES, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, **environment},
        check=True,
    )


def test_a_tool_sees_ranges_in_a_domain_of_our_own_as_they_nest(tmp_path):
    if not HEADER.exists():
        pytest.skip(f"there is no {HEADER}")
    tool = compile_library("range_tool.cc", tmp_path, "-isystem", HEADER.parents[1])
    seen = run_ranges(NVTX_INJECTION64_PATH=tool).stdout.splitlines()
    assert seen == ["domain ringsync", "1 begin pack", "1 begin run", "1 end", "1 end"]


def test_without_a_tool_ranges_are_no_error_and_say_nothing():
    done = run_ranges()
    assert (done.stdout, done.stderr) == ("", "")


def test_a_range_ends_with_its_scope_and_one_that_was_refused_ends_none(
    stand_in, tmp_path, monkeypatch
):
    written = tmp_path / "ranges"
    monkeypatch.setenv("STAND_IN_RANGES", str(written))
    table = ctypes.CDLL(stand_in).rs_device_api
    table.restype = ctypes.c_void_p
    ctypes.CDLL(compile_library("nested_ranges.cc", tmp_path)).nest(ctypes.c_void_p(table()))
    assert written.read_text() == "run\npack\n\n\n"


@pytest.mark.parametrize("kind", ["hostsim", "cuda"])
def test_a_range_without_a_name_is_refused(kind):
    try:
        plugin = Plugin(find_plugin(kind))
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with pytest.raises(PluginError) as raised:
        plugin.call("range_begin", None)
    assert raised.value.status == Status.BAD_ARGUMENT


def test_what_an_engine_gives_to_a_device_is_named(stand_in, device, tmp_path, monkeypatch):
    names = tmp_path / "names"
    monkeypatch.setenv("STAND_IN_RANGES", str(names))
    with world(2, device_plugin=str(stand_in)) as made:
        small = [OnDevice(device, np.ones(9, np.float32)) for _ in range(2)]
        large = [OnDevice(device, np.ones(30_000, np.float32)) for _ in range(2)]
        made.each(lambda rank: rank.allreduce(seen(small[rank.rank])))
        made.each(lambda rank: rank.allreduce(seen(large[rank.rank])))
    lines = names.read_text().splitlines()
    assert set(lines) - {""} >= {"fetch", "deliver"}
    if device.plugin.kind == "hostsim":  # else ranks that are threads share no memory
        assert set(lines) - {""} == {"fetch", "deliver", "pack", "run", "unpack"}
    assert lines.count("") == len(lines) / 2
