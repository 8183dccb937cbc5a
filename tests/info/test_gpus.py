"""What is told of GPUs: the plug-in, the driver, and the ways between them."""

import json

import pytest

from ringsync.errors import ConfigError
from ringsync.info import build, packages, report
from ringsync.info.finding import Finding
from ringsync.info.report import describe_build


@pytest.mark.parametrize(
    ("found", "is_found", "detail", "advice"),
    [
        (None, False, "not built, ", "docs/gpu.md "),
        ((0, "no NVIDIA driver is loaded. Install one."), False, "built, but no NVIDIA", "Install"),
        ((2, ""), True, "built and loaded, 2 devices", ""),
    ],
)
def test_one_line_says_what_becomes_of_cuda(monkeypatch, found, is_found, detail, advice):
    monkeypatch.setattr(build, "find_gpus", lambda: found)
    [line] = [each for each in build.look_at_build() if each.name == "CUDA plug-in"]
    assert line.is_found is is_found
    assert line.detail.startswith(detail)
    assert line.advice.startswith(advice)


def test_a_plugin_that_cannot_be_loaded_is_told_with_its_reason(monkeypatch):
    def fail():
        raise ConfigError("[plugin] x.so has version 7, the core 1. Install ringsync anew.")

    monkeypatch.setattr(build, "find_gpus", fail)
    [line] = [each for each in build.look_at_build() if each.name == "CUDA plug-in"]
    wanted = ("[plugin] x.so has version 7, the core 1", "Install ringsync anew.")
    assert (line.is_found, line.detail, line.advice) == (False, *wanted)


@pytest.mark.parametrize(
    ("plugin", "nccl", "found"),
    [
        (False, True, {"cuda": (False, "CUDA plug-in: why"), "nccl": (False, "CUDA plug-in: why")}),
        (True, False, {"cuda": (True, "memory that"), "nccl": (False, "none")}),
        (True, True, {"cuda": (True, "memory that"), "nccl": (True, "2.30")}),
    ],
)
def test_ways_between_gpus_need_the_plug_in_and_nccl_itself(monkeypatch, plugin, nccl, found):
    cuda = Finding("CUDA plug-in", plugin, "why", "" if plugin else "Mend it.")
    monkeypatch.setattr(report, "look_at_cuda", lambda: cuda)
    library = Finding("NCCL", True, "2.30") if nccl else Finding("NCCL", False, "none", "Get it.")
    monkeypatch.setattr(report, "look_at_nccl", lambda: library)
    ways = json.loads(describe_build(is_json=True))["Available Tensor Operations"]
    listed = {each["name"]: each for each in ways}
    for name, (is_found, detail) in found.items():
        assert listed[name]["is_found"] is is_found
        assert listed[name]["detail"].startswith(detail)
        assert bool(listed[name]["advice"]) is not is_found


def test_a_gpu_that_cannot_be_looked_at_is_told(monkeypatch, tmp_path):
    driver, gpu = tmp_path / "version", tmp_path / "gpu"
    driver.write_text("NVIDIA UNIX x86_64 Kernel Module  550.54.15\n")
    gpu.mkdir()  # cannot be read, whoever tries
    monkeypatch.setattr(packages, "_DRIVER", driver)
    monkeypatch.setattr(packages, "_GPUS", str(gpu))
    found = packages.look_at_gpu()[0]
    assert found.is_found
    assert "550.54.15, a GPU that cannot be looked at: " in found.detail
