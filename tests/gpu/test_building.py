"""What CMake makes of RINGSYNC_CUDA, with a compiler and without one, and for which GPUs.

The plug-in's own file is included by a project of a few lines, which needs nothing of the core.
"""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

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
    """What CMake says, and how it compiles files of the plug-in, by their names."""
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
        return done, {Path(each["file"]).name: each["command"] for each in found}

    return configure


@pytest.mark.parametrize("word", ["AUTO", "auto"])
def test_without_a_compiler_it_is_left_out_and_one_line_says_so(configure, word):
    done, compiled = configure(word, NO_COMPILER)
    assert (done.returncode, compiled) == (0, {})
    assert "-- No nvcc that works: the CUDA plug-in is not built, the CPU part is\n" in done.stdout


@pytest.mark.parametrize("word", ["ON", "on", "TRUE", "Yes", "y", "1"])
def test_who_insists_on_it_without_a_compiler_is_told_what_to_do(configure, word):
    done, _ = configure(word, NO_COMPILER)
    assert done.returncode != 0
    told = " ".join(done.stderr.split())
    assert f"RINGSYNC_CUDA={word}, and no nvcc that works was found. Put it on PATH, or" in told


@pytest.mark.parametrize("word", ["", "cuda", "ON OFF", "2", "AUTOMATIC"])
def test_what_is_no_choice_is_refused_and_not_taken_for_one(configure, word):
    done, _ = configure(word, NO_COMPILER)
    assert done.returncode != 0
    told = " ".join(done.stderr.split())
    assert f"[build] RINGSYNC_CUDA='{word}' is none; one of AUTO, ON, OFF is expected." in told


@pytest.mark.parametrize("word", ["OFF", "off", "FALSE", "No", "n", "0"])
def test_who_does_not_want_it_has_no_compiler_looked_for(configure, word):
    done, compiled = configure(word)
    assert (done.returncode, compiled) == (0, {})
    assert "CUDA" not in done.stdout


def require_kernels(done, compiled):
    assert done.returncode == 0, done.stderr
    if not compiled:
        pytest.skip("no nvcc: CMake is asked how it compiles kernels where there is one")


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        ("wheel", {"80,sm_80", "90,sm_90", "100,sm_100", "100,compute_100"}),
        ("editable", None),  # that of this machine's GPU alone, whatever it is
    ],
)
def test_a_wheel_has_code_for_all_gpus_and_an_editable_install_for_one(configure, state, wanted):
    done, compiled = configure("AUTO", SKBUILD_STATE=state)
    require_kernels(done, compiled)
    kernels = compiled["moves.cu"]
    targets = re.findall(r"--generate-code=arch=compute_(\d+,)code=\[(\w+)\]", kernels)
    found = {"".join(each) for each in targets}
    assert found == wanted if wanted else len(found) == 1


def test_without_headers_of_nvtx_it_is_built_without_names_for_tools(configure, tmp_path):
    done, compiled = configure("AUTO", RINGSYNC_NVTX="OFF")
    require_kernels(done, compiled)
    assert "ranges.cc" not in compiled
    command = [*shlex.split(compiled["no_ranges.cc"]), "-fsyntax-only", "-I", ROOT / "native"]
    subprocess.run(command, cwd=tmp_path, timeout=110, check=True)
