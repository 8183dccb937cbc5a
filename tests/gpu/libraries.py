"""Who makes arrays on a device: the stand-in for CuPy everywhere, CuPy itself on a GPU."""

from importlib.util import find_spec

import pytest

from bench.device.plugin import Plugin, find_plugin

from .conftest import ROOT
from .strict_cupy import functions

LIBRARIES = ["stand-in", pytest.param("cupy", marks=pytest.mark.gpu)]

# What a script begins with so that `cp`, and the process's `cupy`, is one of them.
LOADED = {
    "stand-in": f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from bench.device.plugin import Plugin, find_plugin
from tests.gpu.strict_cupy import functions
cp = sys.modules["cupy"] = functions.make(Plugin(find_plugin("hostsim")))
""",
    "cupy": "import cupy as cp\n",
}
PLUGINS = {"stand-in": "hostsim", "cupy": "cuda"}


def load(library):
    """The library, in this process."""
    if library == "stand-in":
        return functions.make(Plugin(find_plugin("hostsim")))
    require_cupy()
    return __import__("cupy")


def require_cupy():
    if find_spec("cupy") is None:  # on a machine that has a GPU
        pytest.skip("CuPy is not installed")
