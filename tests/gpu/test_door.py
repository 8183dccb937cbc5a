"""The one way of a thread into NCCL: who has closed it and waited has it for himself."""

import os
import shutil
import subprocess

import pytest

from .conftest import ROOT


def test_nobody_is_inside_or_comes_in_once_it_is_closed_and_empty(tmp_path):
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        pytest.skip("no g++: the two threads are compiled where there is one")
    program = tmp_path / "door"
    sources = [ROOT / "native/base/futex.cc", ROOT / "tests/gpu/door.cc"]
    command = [compiler, "-std=c++20", "-O1", "-I", ROOT / "native", *sources, "-o", program]
    subprocess.run(command, timeout=110, check=True)
    done = subprocess.run([program], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (0, "2000\n"), done.stderr
