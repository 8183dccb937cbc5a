"""The kernels' bodies under the compiler's sanitizers, over random buckets at random addresses."""

import os
import shutil
import subprocess

import pytest

from .conftest import ROOT

# Without -g, which would take the compiler twice the time; a stack still names functions.
OPTIONS = ("-std=c++20", "-Og", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def test_no_random_bucket_is_wrong_or_touches_what_is_not_its_own(tmp_path):
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        pytest.skip("no g++: the twin of the kernels is compiled where there is one")
    program = tmp_path / "random_moves"
    sources = [ROOT / "native/hostsim/kernels.cc", ROOT / "tests/gpu/random_moves.cc"]
    command = [compiler, *OPTIONS, "-I", ROOT / "native", *sources, "-o", program]
    built = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    if "cannot find" in built.stderr and "san" in built.stderr:
        pytest.skip("the compiler has no libraries of its sanitizers")
    assert built.returncode == 0, built.stderr
    done = subprocess.run([program], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (0, "0 wrong\n"), done.stderr
