"""What every test of the tree shares: how far hypothesis searches, what a hang leaves behind."""

import faulthandler
import os

import pytest
from hypothesis import HealthCheck, settings

# Two busy cores make any single example slow now and then; slowness is no property of the code.
settings.register_profile(
    "dev",
    max_examples=30,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# Continuous integration looks further, and at the same examples in every run.
settings.register_profile("ci", settings.get_profile("dev"), max_examples=100, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# The time-out of pytest-timeout is a Python thread: a hang in native code that holds the GIL stops
# it too. faulthandler's watchdog needs no GIL; it comes this much later and ends the run.
GRACE_S = 15.0

_TERMINAL = pytest.StashKey[int]()


def pytest_configure(config):
    # While a test runs, descriptor 2 is captured, and a killed run never shows what was captured.
    config.stash[_TERMINAL] = os.dup(2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    limit_s = _limit_s(item)
    if limit_s > 0:
        terminal = item.config.stash[_TERMINAL]
        faulthandler.dump_traceback_later(limit_s + GRACE_S, exit=True, file=terminal)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _limit_s(item):
    """The limit of pytest-timeout for `item`; 0 is none."""
    if item.config.getoption("usepdb"):
        return 0.0
    marker = item.get_closest_marker("timeout")
    given = marker.args[0] if marker and marker.args else item.config.getoption("timeout")
    return float(item.config.getini("timeout") or 0 if given is None else given)
