"""The core loads plug-ins: it finds those that were built, and refuses what is none."""

import subprocess

import pytest

from ringsync import _native
from ringsync.errors import ConfigError


def test_the_simulated_device_is_found_beside_the_core():
    assert _native.count_devices(_native.plugin_path("hostsim")) == (1, "")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("int other() { return 0; }", "has no rs_device_api"),
        (
            "unsigned table[64] = {999, 8}; const void* rs_device_api() { return table; }",
            "has version 999, the core ",
        ),
        (None, "cannot be loaded"),
    ],
)
def test_what_is_no_plugin_of_this_version_is_refused(tmp_path, code, told):
    library = tmp_path / "other.so"
    if code is None:
        library.write_bytes(b"no library")
    else:
        command = ["g++", "-x", "c", "-", "-shared", "-fPIC", "-o", library]
        subprocess.run(command, input=code, text=True, timeout=60, check=True)
    with pytest.raises(ConfigError, match=told):
        _native.count_devices(str(library))
