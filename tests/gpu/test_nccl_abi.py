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


COMPILER = shutil.which(os.environ.get("CXX", "g++"))
NCCL = folder_of("nccl.h", Path(os.environ.get(PLACE, "")), PACKAGES / "nccl/include")
CUDA = folder_of("cuda_runtime.h", Path("/usr/local/cuda/include"), PACKAGES / "cu13/include")

# The header comes with what is installed for a GPU, and with 200 MB elsewhere.
pytestmark = [pytest.mark.gpu] if NCCL is None else []


def test_our_words_mean_what_nccl_s_header_says():
    lacking = [
        name
        for name, found in {
            "g++": COMPILER,
            f"nccl.h, whose folder {PLACE} may name": NCCL,
            "cuda_runtime.h, which nccl.h includes": CUDA,
        }.items()
        if found is None
    ]
    if lacking:
        pytest.skip(f"there is no {', no '.join(lacking)}")
    source = ROOT / "tests/gpu/nccl_layout.cc"
    includes = ("-I", ROOT / "native", "-isystem", NCCL, "-isystem", CUDA)
    command = [COMPILER, "-std=c++20", "-fsyntax-only", "-Wall", "-Werror", *includes, source]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
