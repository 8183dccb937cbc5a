"""What all tests share: how far hypothesis searches, who runs beside whom, what a hang leaves."""

import compileall
import contextlib
import faulthandler
import fcntl
import os
import signal
from importlib.util import find_spec
from pathlib import Path

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
# In a worker pytest-timeout has no terminal to show stacks on, so there the watchdog comes first.
HASTE_S = 1.0

# Tests wait for processes half of their time: four at once took 468 s on two cores, three 514 s.
WORKERS = 4

_TERMINAL = pytest.StashKey[int]()

# Descriptors of the locks that a test holds; one description serves a process and its children.
_held: set[int] = set()


def pytest_configure(config):
    # A shell without job control starts what it leaves in the background with both ignored, and
    # whatever tests start would ignore them as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    # While a test runs, descriptor 2 is captured, and a killed run never shows what was captured.
    config.stash[_TERMINAL] = os.dup(2)
    if not _is_worker(config):
        # A thousand processes import ringsync, and under PYTHONDONTWRITEBYTECODE each would compile
        # it for itself, in 0.1 s.
        compileall.compile_dir(find_spec("ringsync").submodule_search_locations[0], quiet=2)


def pytest_xdist_auto_num_workers(config):
    # Parts of the tree end before workers have started, and are what people debug.
    here = Path(__file__).parent
    chosen = (Path(config.invocation_params.dir, argument) for argument in config.args)
    return WORKERS if any(here.is_relative_to(path.resolve()) for path in chosen) else 0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    with _turn(item):
        return (yield from _watched(item))


def _watched(item):
    limit_s = _limit_s(item)
    if limit_s > 0:
        terminal = item.config.stash[_TERMINAL]
        limit_s += -HASTE_S if _is_worker(item.config) else GRACE_S
        faulthandler.dump_traceback_later(limit_s, exit=True, file=terminal)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def _turn(item):
    """Holds `item` back until it may run; one that is to be alone waits for no later ones."""
    if not _is_worker(item.config):
        yield
        return
    here = Path(__file__)
    is_alone = item.get_closest_marker("alone") is not None
    with contextlib.ExitStack() as held:
        with _locked(here.parent, fcntl.LOCK_EX):
            held.enter_context(_locked(here, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH))
        yield


@contextlib.contextmanager
def _locked(path, how):
    file = os.open(path, os.O_RDONLY)
    _held.add(file)
    try:
        fcntl.flock(file, how)
        yield
    finally:
        if file in _held:  # else this is a forked child
            _held.remove(file)
            os.close(file)


def _let_go():
    """A forked child may outlive its worker, and would hold the others' tests back for as long."""
    for file in _held:
        os.close(file)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


def _is_worker(config):
    return hasattr(config, "workerinput")


def _limit_s(item):
    """The limit of pytest-timeout for `item`; 0 is none."""
    if item.config.getoption("usepdb"):
        return 0.0
    marker = item.get_closest_marker("timeout")
    given = marker.args[0] if marker and marker.args else item.config.getoption("timeout")
    return float(item.config.getini("timeout") or 0 if given is None else given)
