"""Memory of the device, of the host and of other processes."""

import subprocess
import sys

import numpy as np
import pytest

from bench.device.abi import Status
from bench.device.plugin import PluginError, find_plugin

from .conftest import ROOT

OPENING = """
import sys
import numpy as np
from pathlib import Path
from bench.device.plugin import Plugin
plugin = Plugin(Path(sys.argv[1]))
memory = plugin.open_memory(bytes.fromhex(sys.argv[2]))
found = plugin.get(memory, np.empty(1000, np.int32))
assert (found == np.arange(1000)).all(), found
plugin.put(found * 2, memory)
plugin.call("close_memory", memory)
"""


@pytest.mark.parametrize("size_bytes", [1, 4097, 3_000_000])
def test_what_is_put_into_memory_comes_out_again(device, size_bytes):
    values = np.random.default_rng(0).integers(0, 256, size_bytes, np.uint8)
    memory = device.array(values)
    other = device.empty(size_bytes)
    device.plugin.call("copy", other, memory, size_bytes, 0)
    np.testing.assert_array_equal(device.read(other, size_bytes, np.uint8), values)


def test_pinned_memory_is_copied_in_stream_order(device):
    plugin, stream = device.plugin, device.stream()
    pinned = plugin.allocate(4000, "allocate_pinned")
    memory = device.empty(4000)
    plugin.call("fill", memory, 7, 4000, stream)
    plugin.call("copy", pinned, memory, 4000, stream)
    plugin.call("synchronize_stream", stream)
    found = plugin.get(pinned, np.empty(4000, np.uint8))
    plugin.call("release_pinned", pinned)
    assert (found == 7).all()


def test_too_much_memory_is_an_error_and_the_device_stays_of_use(device):
    with pytest.raises(PluginError, match=r"\[allocate\] there is not so much left") as raised:
        device.empty(1 << 48)
    assert raised.value.status == Status.NO_MEMORY
    assert (device.read(device.filled(100, 5), 100, np.uint8) == 5).all()


def test_another_process_reads_and_writes_exported_memory(device):
    memory = device.array(np.arange(1000, dtype=np.int32))
    name = device.plugin.export_memory(memory)
    subprocess.run(
        [sys.executable, "-c", OPENING, str(find_plugin(device.plugin.kind)), name.hex()],
        cwd=ROOT,
        timeout=60,
        check=True,
    )
    found = device.read(memory, 1000, np.int32)
    np.testing.assert_array_equal(found, np.arange(1000) * 2)


def test_only_whole_allocations_are_exported(device):
    memory = device.empty(100_000)
    with pytest.raises(PluginError, match="as it was allocated") as raised:
        device.plugin.export_memory(memory + 4096)
    assert raised.value.status == Status.NOT_A_BASE


def test_a_process_cannot_open_its_own_memory(device):
    name = device.plugin.export_memory(device.empty(100))
    with pytest.raises(PluginError, match="this very process") as raised:
        device.plugin.open_memory(name)
    assert raised.value.status == Status.OWN_MEMORY
