"""One set of claims for every device plug-in: the simulated one everywhere, CUDA's on a GPU.

Runs without the rest of tests/ too, where only plug-ins were built: bench/gpu.sh does so.
"""

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from bench.device.plugin import Plugin, find_plugin  # noqa: E402


def pytest_configure(config):  # for runs without the suite's settings
    config.addinivalue_line("markers", "gpu: needs a real GPU; skipped, and counted, without one")


@cache
def lack_of_gpu():
    """Why no test here can use a GPU; empty where one can."""
    try:
        count, reason = Plugin(find_plugin("cuda")).count_devices()
    except FileNotFoundError as error:
        return str(error)
    return "" if count else f"no GPU: {reason}"


def pytest_collection_modifyitems(items):
    # Marks, unlike calls of `skip`, are reported with one line and a number for each file.
    for item in items:
        if item.get_closest_marker("gpu") and lack_of_gpu():
            item.add_marker(pytest.mark.skip(reason=lack_of_gpu()))


@pytest.fixture(params=["hostsim", pytest.param("cuda", marks=pytest.mark.gpu)])
def plugin(request):
    return Plugin(find_plugin(request.param))


class Device:
    """A plug-in whose memory and streams end with the test."""

    def __init__(self, plugin):
        self.plugin = plugin
        self._memory = []
        self._streams = []

    def empty(self, size_bytes):
        memory = self.plugin.allocate(max(size_bytes, 1))
        self._memory.append(memory)
        return memory

    def array(self, values):
        memory = self.empty(values.nbytes)
        if values.nbytes:
            self.plugin.put(values, memory)
        return memory

    def filled(self, size_bytes, byte):
        return self.array(np.full(size_bytes, byte, np.uint8))

    def read(self, memory, count, dtype):
        return self.plugin.get(memory, np.empty(count, dtype))

    def stream(self, **options):
        stream = self.plugin.create_stream(**options)
        self._streams.append(stream)
        return stream

    def close(self):
        for stream in self._streams:
            self.plugin.call("destroy_stream", stream)
        for memory in self._memory:
            self.plugin.call("release", memory)


@pytest.fixture
def device(plugin):
    device = Device(plugin)
    yield device
    device.close()
