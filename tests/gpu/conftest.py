"""One set of claims for every device plug-in: the simulated one everywhere, CUDA's on a GPU.

Runs with no more of the suite's settings than those below too: bench/gpu.sh does so.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from bench.device.plugin import Plugin, find_plugin  # noqa: E402 - once it can be found

from ..ranks import TRANSPORTS, until, world  # noqa: E402 - likewise
from .arrays import Device  # noqa: E402 - likewise
from .nccl_ways import N, ways  # noqa: E402 - likewise


def pytest_configure(config):  # for runs without the suite's settings
    config.addinivalue_line("markers", "gpu: needs a real GPU; skipped, and counted, without one")
    config.addinivalue_line("markers", "runs_out: a rank gives up, and its stream runs on")


MADV_REMOVE = 9  # <sys/mman.h>; of Python's own mappings alone it has a name


@pytest.fixture(autouse=True)
def _simulated_memory_is_emptied():
    """Gives back what engines leave of the simulated device's memory, which others may have open.

    It stays theirs until the process ends, and the worlds of these tests would come to 11 GB. The
    addresses stay in use: a stream that hangs may write there yet.
    """
    yield
    madvise = ctypes.CDLL(None).madvise
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "memfd:ringsync-hostsim" in line:
            begin, end = (int(place, 16) for place in line.split()[0].split("-"))
            madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), MADV_REMOVE)


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


def compile_library(source, folder, *options):
    """A library of one file of this folder; what it stands for is said there."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        pytest.skip(f"no g++: {source} is compiled where there is one")
    library = folder / Path(source).with_suffix(".so").name
    options = ("-std=c++20", "-shared", "-fPIC", "-I", ROOT / "native", *options)
    command = [compiler, *options, ROOT / "tests/gpu" / source, "-o", library]
    # A sanitizer that runs under these tests does not look at compilers.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    subprocess.run(command, timeout=110, check=True, env=environment)
    return str(library)


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


@pytest.fixture(scope="session")
def stand_in_library(tmp_path_factory):
    return compile_library("stand_in.cc", tmp_path_factory.mktemp("plugin"))


@pytest.fixture
def stand_in(plugin_path, stand_in_library, monkeypatch):
    """The file of a plug-in before the one in use, which does what the environment asks for."""
    monkeypatch.setenv("STAND_IN_FOR", plugin_path)
    return stand_in_library


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


class Gate:
    """Holds streams back until a test opens it."""

    def __init__(self, device):
        self._device = device
        self.stream = device.stream()
        self._flag = device.filled(256, 0)
        self._other = device.stream()

    def close(self):
        self._device.plugin.wait_flag(self._flag, 1, self.stream)

    def open(self):
        self._device.plugin.signal([self._flag], 1, self._other)

    def end(self):
        self.open()
        self._device.plugin.call("synchronize_stream", self.stream)


@pytest.fixture
def gate(device):
    gate = Gate(device)
    yield gate
    gate.end()


@pytest.fixture
def simulated_gate(simulated):
    gate = Gate(simulated)
    yield gate
    gate.end()


@pytest.fixture
def simulated():
    device = Device(Plugin(find_plugin("hostsim")))
    yield device
    device.close()


@pytest.fixture
def begin_with_nccl(transport):
    """A world whose ranks look for the fake NCCL."""

    def begin():
        return world(
            N,
            transport,
            device_plugin=str(find_plugin("hostsim")),
            nccl_library=str(find_plugin("fake_nccl")),
        )

    return begin


@pytest.fixture
def joined(begin_with_nccl, simulated):
    with begin_with_nccl() as made:
        until(lambda: ways(simulated, made) == {"nccl"})
        yield made


@pytest.fixture
def faults(monkeypatch):
    return lambda text: monkeypatch.setenv("FAKE_NCCL", text)
