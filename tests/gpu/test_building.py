"""What CMake makes of RINGSYNC_CUDA, with a compiler and without one, and for which GPUs.

The plug-in's own file is included by a project of a few lines, which needs nothing of the core.
"""

import json
import re
import shutil
import subprocess

import pytest

from .conftest import ROOT

CMAKE = shutil.which("cmake")
PROJECT = """
cmake_minimum_required(VERSION 3.22...3.31)
project(room LANGUAGES CXX)
function(ringsync_plugin name)
  cmake_parse_arguments(arg "" "" "SOURCES" ${ARGN})
  list(TRANSFORM arg_SOURCES PREPEND "${NATIVE}/")
  add_library(ringsync_${name} MODULE ${arg_SOURCES})
endfunction()
include(${NATIVE}/cuda/plugin.cmake)
"""
NO_COMPILER = "/nonexistent/nvcc"


@pytest.fixture
def configure(tmp_path, monkeypatch):
    """What CMake says, and how it compiles kernels; None where it does not."""
    if CMAKE is None:
        pytest.skip("no cmake: what it decides is looked at where there is one")
    (tmp_path / "CMakeLists.txt").write_text(PROJECT)

    def configure(choice, compiler="", **settings):
        if compiler:
            monkeypatch.setenv("CUDACXX", compiler)
        settings |= {"RINGSYNC_CUDA": choice, "NATIVE": ROOT / "native"}
        command = [CMAKE, "-S", tmp_path, "-B", tmp_path, "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"]
        command += [f"-D{name}={value}" for name, value in settings.items()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
        commands = tmp_path / "compile_commands.json"
        found = json.loads(commands.read_text()) if commands.exists() else []
        kernels = [each["command"] for each in found if each["file"].endswith("moves.cu")]
        return done, kernels[0] if kernels else None

    return configure


def test_without_a_compiler_it_is_left_out_and_one_line_says_so(configure):
    done, kernels = configure("AUTO", NO_COMPILER)
    assert (done.returncode, kernels) == (0, None)
    assert "-- No nvcc that works: the CUDA plug-in is not built, the CPU part is\n" in done.stdout


def test_who_insists_on_it_without_a_compiler_is_told_what_to_do(configure):
    done, _ = configure("ON", NO_COMPILER)
    assert done.returncode != 0
    told = " ".join(done.stderr.split())
    assert "RINGSYNC_CUDA=ON, and no nvcc that works was found. Put it on PATH, or set" in told


def test_who_does_not_want_it_has_no_compiler_looked_for(configure):
    done, kernels = configure("OFF")
    assert (done.returncode, kernels) == (0, None)
    assert "CUDA" not in done.stdout


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        ("wheel", {"80,sm_80", "90,sm_90", "100,sm_100", "100,compute_100"}),
        ("editable", None),  # that of this machine's GPU alone, whatever it is
    ],
)
def test_a_wheel_has_code_for_all_gpus_and_an_editable_install_for_one(configure, state, wanted):
    done, kernels = configure("AUTO", SKBUILD_STATE=state)
    assert done.returncode == 0, done.stderr
    if kernels is None:
        pytest.skip("no nvcc: CMake is asked for its targets where there is one")
    targets = re.findall(r"--generate-code=arch=compute_(\d+,)code=\[(\w+)\]", kernels)
    found = {"".join(each) for each in targets}
    assert found == wanted if wanted else len(found) == 1
