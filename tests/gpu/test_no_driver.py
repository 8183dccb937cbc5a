"""The CUDA plug-in where no driver serves it: one sentence says why, and host arrays still travel.

Each claim has processes of its own, in which the loader finds what a test has put there for the
driver.
"""

from pathlib import Path

import pytest

from bench.device.plugin import find_plugin

from ..processes.job import Jobs, require_ended
from .conftest import compile_library

# Of any CUDA that is older than all that plug-ins are built with, and newer.
OLD, NEW = 11000, 99000
SCRIPT = """
from ringsync.runtime import find_gpus

class Array:
    shape, dtype = (2,), np.dtype("float32")
    __cuda_array_interface__ = {
        "shape": (2,), "typestr": "<f4", "data": (4096, False), "version": 3
    }

print(find_gpus())
rs.init()
try:
    rs.allreduce_(Array())
except errors.ConfigError as error:
    print(error)
print(rs.allreduce(np.array([RANK / 1])).tolist())
"""


def make_driver(folder, version):
    """A file under the driver's name; of no version, one that cannot be loaded."""
    file = folder / "libcuda.so.1"
    if version is None:
        file.write_text("no library\n")
    else:
        Path(compile_library("stub_driver.cc", folder, f"-DVERSION={version}")).rename(file)


@pytest.fixture
def jobs():
    made = Jobs()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("version", "why"),
    [
        (None, "no NVIDIA driver is loaded. Install one; start a container with --gpus all."),
        (
            OLD,
            "the NVIDIA driver is older than the CUDA that the plug-in was built with. Update it.",
        ),
        (NEW, "there is a driver and no device. Check CUDA_VISIBLE_DEVICES."),
    ],
    ids=["no driver", "an old driver", "no device"],
)
def test_what_keeps_a_gpu_away_is_told_in_one_sentence_and_hosts_go_on(
    jobs, tmp_path, version, why
):
    try:
        find_plugin("cuda")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    make_driver(tmp_path, version)
    ended = jobs.run(2, SCRIPT, LD_LIBRARY_PATH=str(tmp_path))
    require_ended(ended)
    for one in ended:
        found, refused, summed = one.said
        assert found == f"(0, '{why}')"
        assert refused.endswith(f" The way is missing because of this: [device] {why}"), refused
        assert summed == "[0.5]"
