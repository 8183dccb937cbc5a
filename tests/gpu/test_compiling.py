"""What the compilers make of the kernels: no memory of a thread's own, and 16 bytes an access."""

import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError
from importlib.metadata import files as files_of

import pytest

from .conftest import ROOT


def installed(program, package):
    """Where `package`, one of CUDA's for pip, has `program`."""
    try:
        files = files_of(package)
    except PackageNotFoundError:
        return None
    return next((path.locate() for path in files or () if path.name == program), None)


NVCC = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
CUOBJDUMP = shutil.which("cuobjdump") or shutil.which("cuobjdump", path="/usr/local/cuda/bin")
CUOBJDUMP = CUOBJDUMP or installed("cuobjdump", "nvidia-cuda-cuobjdump")
SOURCES = ("moves", "sums")
# As native/cuda/plugin.cmake has them, for each kind of GPU that a wheel has machine code for.
OPTIONS = ("-std=c++20", "-O3", "--expt-relaxed-constexpr", "-fmad=false", "-cubin", "-Xptxas=-v")
ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
KERNEL = re.compile(r"Function : (\S+)")
LOCAL = re.compile(r"\b(?:LDL|STL)\b")
GENERIC = re.compile(r"\b(?:LD|ST)(?:\.E\S*)? ")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def compiled(request, tmp_path_factory):
    """Each source's cubin, and what the assembler said of it."""
    if NVCC is None:
        pytest.skip("no nvcc: the kernels are compiled where there is one")
    folder = tmp_path_factory.mktemp("cubins")

    def compile_one(name):
        cubin = folder / f"{name}.cubin"
        source = ROOT / "native/cuda" / f"{name}.cu"
        target = (f"-arch={request.param}", "-I", ROOT / "native")
        command = [NVCC, *OPTIONS, *target, source, "-o", cubin]
        done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
        assert done.returncode == 0, done.stderr
        return cubin, done.stderr

    return {name: compile_one(name) for name in SOURCES}


def test_no_kernel_spills_or_has_a_stack(compiled):
    for name, (_, told) in compiled.items():
        frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores", told)
        assert len(frames) >= {"moves": 30, "sums": 7}[name]
        assert set(frames) == {("0", "0")}, told
        assert "cumulative stack" not in told


def test_the_loops_access_16_bytes_and_no_memory_of_a_thread_or_of_unknown_kind(compiled):
    if CUOBJDUMP is None:
        pytest.skip("no cuobjdump: the machine code is looked at where there is one")
    for cubin, _ in compiled.values():
        told = subprocess.run(
            [CUOBJDUMP, "-sass", cubin], capture_output=True, text=True, timeout=60, check=True
        ).stdout
        _, *parts = KERNEL.split(told)
        for kernel, code in zip(parts[::2], parts[1::2], strict=True):
            assert not LOCAL.search(code), kernel
            assert not GENERIC.search(code), kernel
            if "write_flags" not in kernel:
                assert "LDG.E.128" in code or "LDG.E.64" in code, kernel
                assert "STG.E.128" in code, kernel
