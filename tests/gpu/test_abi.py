"""The table: both sides of the door mean the same, and a plug-in says what it is."""

import ctypes
import re
import subprocess
import sys

import pytest

from bench.device import abi
from bench.device.plugin import Plugin, PluginError, find_plugin

from .conftest import ROOT

HEADER = (ROOT / "native/device/plugin_abi.h").read_text(encoding="utf-8")


def enumerators(kind):
    [body] = re.findall(rf"enum {kind} : \w+ {{(.*?)}};", HEADER, re.DOTALL)
    found = re.findall(r"kRs(\w+) = (-?\d+)", body)
    return {re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper(): int(value) for name, value in found}


def test_statuses_and_types_have_the_headers_numbers():
    assert enumerators("RsError") == {status.name: status for status in abi.Status}
    assert enumerators("RsDtype") == {dtype.name: dtype for dtype in abi.Dtype}


def test_constants_have_the_headers_values():
    found = dict(re.findall(r"inline constexpr uint32_t (kRs\w+) = (\d+);", HEADER))
    assert int(found["kRsAbi"]) == abi.ABI
    assert int(found["kRsMostSegments"]) == abi.MOST_SEGMENTS
    assert int(found["kRsMostPeers"]) == abi.MOST_PEERS


def test_functions_stand_in_the_headers_order():
    [body] = re.findall(r"struct RsDeviceApi {(.*?)\n};", HEADER, re.DOTALL)
    assert re.findall(r"RsStatus \(\*(\w+)\)", body) == [name for name, _ in abi.FUNCTIONS]


def find_built(kind):
    """Where a plug-in is; only where there is a CUDA compiler there is one for CUDA."""
    try:
        return find_plugin(kind)
    except FileNotFoundError as error:
        if kind != "cuda":
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize("kind", ["hostsim", "cuda"])
def test_a_plugin_loads_without_a_gpu_and_says_why_there_is_none(kind):
    plugin = Plugin(find_built(kind))
    count, reason = plugin.count_devices()
    assert plugin.kind == kind
    assert (count > 0) == (not reason)
    assert not reason or reason.endswith(".")


@pytest.mark.parametrize("kind", ["hostsim", "cuda"])
def test_a_plugin_needs_neither_the_driver_nor_nccl_to_load(kind):
    path = find_built(kind)
    maps = "print(open('/proc/self/maps').read())"
    script = f"import ctypes; ctypes.CDLL({str(path)!r}); {maps}"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert f"libringsync_{kind}" in loaded
    assert not re.search(r"libcuda\.so|libcudart|libnccl", loaded)


def test_every_status_has_a_sentence_of_its_own(plugin):
    sentences = [plugin.describe(status) for status in abi.Status]
    assert len(set(sentences)) == len(abi.Status)
    assert all(sentence.endswith(".") for sentence in sentences)
    assert plugin.describe(2).endswith(".")


def test_a_text_is_cut_to_the_room_that_there_is(plugin):
    room = ctypes.create_string_buffer(b"?" * 15, 16)
    plugin.call("describe", abi.Status.NO_DRIVER, ctypes.addressof(room), 8)
    assert room.raw[:9] == b"no NVID\0?"


def test_a_device_tells_its_facts(plugin):
    facts = plugin.look_at_device(0)
    assert facts.name
    assert facts.memory_bytes > 2**28
    assert facts.multiprocessors > 0
    with pytest.raises(PluginError):
        plugin.look_at_device(99)
