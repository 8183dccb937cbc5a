"""`ringsync info` tells what a rank would use that started in the same environment."""

import json
import os
import subprocess
import sys

import pytest

from bench.device.plugin import find_plugin
from ringsync.info.finding import Finding
from ringsync.info.report import describe_build
from ringsync.info.settings import look_at_settings

FAKE = find_plugin("fake_nccl")


def info(**variables):
    """All findings by name, of a process of its own: a library that is loaded stays."""
    done = subprocess.run(
        [sys.executable, "-m", "ringsync", "info", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=os.environ | {name: str(value) for name, value in variables.items()},
    )
    assert done.stderr == ""
    facts = json.loads(done.stdout)
    return {
        each["name"]: Finding(**each) for name in facts if name != "version" for each in facts[name]
    }


def test_an_nccl_that_is_named_is_the_one_that_is_found():
    found = info(RINGSYNC_NCCL_LIB=FAKE)["NCCL"]
    assert found == Finding("NCCL", True, f"2.27.3, {FAKE}, named by RINGSYNC_NCCL_LIB")


def test_a_named_nccl_that_cannot_be_loaded_is_told_as_a_rank_would(tmp_path):
    found = info(RINGSYNC_NCCL_LIB=tmp_path / "none.so")["NCCL"]
    assert not found.is_found
    assert found.detail.startswith(f"[nccl] RINGSYNC_NCCL_LIB names {tmp_path}/none.so, which can")
    assert found.advice == "Let it name a file libnccl.so.2, or unset it."


def test_who_goes_without_nccl_is_told_that_ranks_do():
    found = info(RINGSYNC_NCCL="off")
    assert not found["NCCL"].is_found
    assert "RINGSYNC_NCCL=off" in found["NCCL"].detail
    assert found["environment"] == Finding("environment", True, "RINGSYNC_NCCL=off")


def test_the_simulated_device_takes_the_place_of_gpus():
    found = info(RINGSYNC_DEVICE_PLUGIN="hostsim")
    for name in ("CUDA plug-in", "NCCL"):
        assert not found[name].is_found
        assert "RINGSYNC_DEVICE_PLUGIN=hostsim" in found[name].detail


@pytest.mark.parametrize("name", ["RINGSYNC_NCCL", "RINGSYNC_DEVICE_PLUGIN", "RINGSYNC_BUCKET_MIB"])
def test_a_setting_that_is_refused_is_told_and_so_is_all_else(monkeypatch, name):
    monkeypatch.setenv(name, "maybe")
    [found] = look_at_settings()
    assert (found.name, found.is_found) == ("environment", False)
    assert found.detail.startswith(f"[config] {name}='maybe' is ")
    assert found.advice
    facts = json.loads(describe_build(is_json=True))
    assert facts["Settings"][0]["detail"] == found.detail
    assert facts["Available Tensor Operations"]
    assert "NCCL" in info()


def test_what_horovod_s_variables_come_to_is_listed(monkeypatch):
    monkeypatch.setenv("HOROVOD_FUSION_THRESHOLD", str(2**24))
    monkeypatch.setenv("RINGSYNC_STALL_WARN_S", "0")
    [found] = look_at_settings()
    assert found.detail == "RINGSYNC_STALL_WARN_S=inf, RINGSYNC_BUCKET_MIB=16"


def test_a_variable_with_a_wrong_name_is_told_beside_the_one_that_is_read(monkeypatch):
    monkeypatch.setenv("RINGSYNC_NCCL_LIBS", "/a/b.so")
    assert look_at_settings()[1:] == [
        Finding(
            "RINGSYNC_NCCL_LIBS",
            False,
            "is set, which ringsync does not read",
            "It reads RINGSYNC_NCCL_LIB.",
        )
    ]
