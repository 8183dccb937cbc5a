"""Our own words for NCCL's C ABI, beside the header of an NCCL that was installed for it."""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from .conftest import ROOT

# Where to look for nccl.h in place of NVIDIA's package for pip.
PLACE = "NCCL_INCLUDE"
PACKAGES = Path(sysconfig.get_path("purelib"), "nvidia")


def folder_of(header, *places):
    return next((place for place in places if (place / header).exists()), None)


def test_our_words_mean_what_nccl_s_header_says():
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    nccl = folder_of("nccl.h", Path(os.environ.get(PLACE, "")), PACKAGES / "nccl/include")
    cuda = folder_of("cuda_runtime.h", Path("/usr/local/cuda/include"), PACKAGES / "cu13/include")
    if compiler is None:
        pytest.skip("no g++: nccl.h is looked at where there is one")
    if nccl is None:
        pytest.skip(f"no nccl.h: install nvidia-nccl-cu13, or let {PLACE} name its folder")
    if cuda is None:
        pytest.skip("no cuda_runtime.h, which nccl.h includes: install CUDA's toolkit")
    source = ROOT / "tests/gpu/nccl_layout.cc"
    includes = ("-I", ROOT / "native", "-isystem", nccl, "-isystem", cuda)
    command = [compiler, "-std=c++20", "-fsyntax-only", "-Wall", "-Werror", *includes, source]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
