"""How NCCL is found: which of several, what is refused and in which words, what it can do.

Each claim has a process of its own, because a library that is loaded stays. Libraries are copies
of the fake one, in which a claim may change a name: a function's to be gone, its own to be NCCL's.
"""

import json
import os
import subprocess
import sys
from ctypes.util import find_library

import pytest

from bench.device.plugin import find_plugin

FAKE = find_plugin("fake_nccl")
SONAME = "libnccl.so.2"
FIND = """
import ctypes, json, sys
from ringsync import _native, errors
loaded, chosen, *candidates = sys.argv[1:]
if loaded:
    ctypes.CDLL(loaded)
try:
    library = _native.NcclLibrary(chosen, candidates)
    found = {"path": library.path, "version": library.version, "features": library.features}
except errors.ConfigError as error:
    found = {"refused": str(error)}
print(json.dumps(found))
"""


def find(*candidates, loaded="", chosen="", faults="", places=""):
    environment = {**os.environ, "FAKE_NCCL": faults, "LD_LIBRARY_PATH": str(places)}
    words = [str(word) for word in (loaded, chosen, *candidates)]
    done = subprocess.run(
        [sys.executable, "-c", FIND, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=environment,
    )
    return json.loads(done.stdout)


def changed(folder, old, new, name=SONAME):
    """A copy of the fake library that has the name `new` in place of `old`."""
    names = [word.encode() + b"\0" for word in (old, new)]
    content = FAKE.read_bytes()
    assert b"\0" + names[0] in content
    content = content.replace(b"\0" + names[0], b"\0" + names[1].ljust(len(names[0]), b"\0"))
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return path


def renamed(folder):
    return changed(folder, FAKE.name, SONAME)


def without(folder, symbol):
    return changed(folder, symbol, symbol[:-1] + "_")


def without_system_s():
    if find_library("nccl"):
        pytest.skip("the system has an NCCL, which is found where no other one is")


def test_the_library_that_is_loaded_comes_before_the_one_that_is_named(tmp_path):
    loaded = renamed(tmp_path)
    assert find(FAKE, loaded=loaded, chosen=FAKE)["path"] == str(loaded)


def test_the_library_that_is_named_comes_before_candidates(tmp_path):
    assert find(renamed(tmp_path), chosen=FAKE)["path"] == str(FAKE)


def test_the_first_candidate_that_loads_is_taken(tmp_path):
    first, second = (renamed(tmp_path / folder) for folder in "ab")
    found = find(tmp_path / "none.so", first, second, places=second.parent)
    assert found["path"] == str(first)


def test_the_system_s_library_comes_last(tmp_path):
    system = renamed(tmp_path)
    assert find(tmp_path / "none.so", places=tmp_path)["path"] == str(system)


def test_where_there_is_none_it_is_said_how_to_get_one(tmp_path):
    without_system_s()
    refused = find(tmp_path / "none.so")["refused"]
    assert refused.startswith(f"[nccl] no NCCL can be loaded: {tmp_path}/none.so: cannot open")
    assert f"; {SONAME}: cannot open" in refused
    assert refused.endswith(
        ". Install it (pip install nvidia-nccl-cu13), or let RINGSYNC_NCCL_LIB name its file."
    )


def test_a_named_file_that_cannot_be_loaded_is_named(tmp_path):
    file = tmp_path / SONAME
    file.write_text("no library")
    refused = find(FAKE, chosen=file)["refused"]
    assert refused.startswith(
        f"[nccl] RINGSYNC_NCCL_LIB names {file}, which cannot be loaded: {file}: "
    )
    assert refused.endswith(f". Let it name a file {SONAME}, or unset it.")


@pytest.mark.parametrize("symbol", ["ncclGetVersion", "ncclCommAbort", "ncclGroupEnd"])
def test_a_function_that_is_missing_is_named_with_the_file(tmp_path, symbol):
    file = without(tmp_path, symbol)
    assert find(chosen=file)["refused"] == (
        f"[nccl] {file} has no {symbol}. Install NCCL anew (pip install nvidia-nccl-cu13), or let "
        "RINGSYNC_NCCL_LIB name its file."
    )


@pytest.mark.parametrize(
    ("number", "text"), [(21700, "2.17.0"), (21299, "2.12.99"), (2804, "2.8.4")]
)
def test_a_version_that_is_too_old_is_told_with_the_oldest_that_serves(tmp_path, number, text):
    file = without(tmp_path, "ncclCommFinalize")  # as old ones are
    assert find(chosen=file, faults=f"version={number}")["refused"] == (
        f"[nccl] {file} is version {text}; 2.18.0 is the oldest that serves. Install a newer one "
        "(pip install --upgrade nvidia-nccl-cu13), or let RINGSYNC_NCCL_LIB name its file."
    )


FEATURES = ["split", "memory", "user buffers", "windows"]


def test_version_and_features_are_those_of_the_library(tmp_path):
    found = find(chosen=FAKE, faults="version=21803")
    assert found == {"path": str(FAKE), "version": 21803, "features": FEATURES}
    assert find(chosen=without(tmp_path, "ncclCommSplit"))["features"] == FEATURES[1:]
