"""One set of claims for every device plug-in: the simulated one everywhere, CUDA's on a GPU.

Runs with no more of the suite's settings than those below too: bench/gpu.sh does so.
"""

import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from bench.device.plugin import Plugin, find_plugin  # noqa: E402 - once it can be found

from ..ranks import TRANSPORTS, world  # noqa: E402 - likewise
from .arrays import Device  # noqa: E402 - likewise


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


@pytest.fixture
def device(plugin):
    device = Device(plugin)
    yield device
    device.close()


@pytest.fixture
def plugin_path(plugin):
    return str(find_plugin(plugin.kind))


def ranks_on(kind):
    """What runs a function on ranks that have torch; it is given their device."""
    torch = pytest.importorskip("torch")
    if kind == "cuda" and not torch.cuda.is_available():
        pytest.skip("this PyTorch finds no GPU")
    from ..torch.conftest import run_ranks  # noqa: PLC0415 - where torch is
    from .torch_device import on_device  # noqa: PLC0415 - likewise

    return lambda size, work: run_ranks(size, on_device, kind, work)


@pytest.fixture
def ranks(plugin):
    return ranks_on(plugin.kind)


@pytest.fixture
def simulated_ranks():
    return ranks_on("hostsim")


@pytest.fixture
def gpu_ranks():
    return ranks_on("cuda")


@pytest.fixture
def made(plugin_path, transport):
    with world(3, transport, device_plugin=plugin_path) as made:
        yield made


@pytest.fixture(params=TRANSPORTS)
def transport(request):
    return request.param


@pytest.fixture
def gate(device):
    """Holds streams back until a test opens it."""

    class Gate:
        stream = device.stream()

        def __init__(self):
            self.flag = device.filled(256, 0)
            self.other = device.stream()

        def close(self):
            device.plugin.wait_flag(self.flag, 1, self.stream)

        def open(self):
            device.plugin.signal([self.flag], 1, self.other)

    gate = Gate()
    yield gate
    gate.open()
    device.plugin.call("synchronize_stream", gate.stream)
