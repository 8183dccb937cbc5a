"""Which NCCL a rank takes is the user's choice, or the package's that lies in the interpreter."""

import importlib

import pytest

from ringsync import device_arrays
from ringsync.config import read_settings
from ringsync.errors import ConfigError
from ringsync.nccl import Choice, choose_nccl


def chosen(**variables):
    return choose_nccl(read_settings(variables))


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """The pip package, as far as a search can tell."""
    file = tmp_path / "nvidia" / "nccl" / "lib" / "libnccl.so.2"
    file.parent.mkdir(parents=True)
    file.touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return str(file)


def test_the_package_s_is_found_where_nobody_names_one(packaged):
    choice = chosen()
    assert choice.is_wanted
    assert choice.library == ""
    assert packaged in choice.candidates


@pytest.mark.usefixtures("packaged")
def test_one_that_is_named_is_the_only_one():
    assert chosen(RINGSYNC_NCCL_LIB="/a/b.so") == Choice(is_wanted=True, library="/a/b.so")


@pytest.mark.parametrize(
    "variables",
    [
        {"RINGSYNC_NCCL": "off"},
        {"RINGSYNC_NCCL": "off", "RINGSYNC_NCCL_LIB": "/a/b.so"},
        {"RINGSYNC_DEVICE_PLUGIN": "hostsim"},
    ],
    ids=str,
)
def test_where_it_is_off_or_the_device_is_simulated_nobody_looks(variables):
    assert chosen(**variables) == Choice(is_wanted=False)


def test_another_word_is_refused():
    words = r"^\[config\] RINGSYNC_NCCL='on' is none; one of auto, off is expected\."
    with pytest.raises(ConfigError, match=words):
        chosen(RINGSYNC_NCCL="on")


def test_where_cupy_is_at_work_its_copy_is_loaded_first(monkeypatch):
    loaded = []
    monkeypatch.setattr(device_arrays.importlib, "import_module", loaded.append)
    monkeypatch.setitem(device_arrays.sys.modules, "cupy", object())
    chosen()
    chosen(RINGSYNC_NCCL_LIB="/a/b.so")
    assert loaded == ["cupy.cuda.nccl"]
