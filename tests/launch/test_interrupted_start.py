"""Ctrl-C before the launcher has its ranks ends it as it ends any command."""

import signal

import pytest

from .conftest import launcher_environment

# In the place of a module that is imported early; the command's own first line comes before any.
INTERRUPTED = """
import os
os.kill(os.getpid(), 2)
print("goes on")
raise SystemExit(3)
"""
# The command, whatever is installed: what the script of that name does.
COMMAND = ("-c", "import sys; from ringsyncrun import main; sys.exit(main())")


@pytest.fixture(params=["numpy", "signal"])
def interrupted(launcher, request):
    (launcher.directory / f"{request.param}.py").write_text(INTERRUPTED)
    path = launcher_environment("").get("PYTHONPATH", "")
    return {"PYTHONPATH": f"{launcher.directory}:{path}"}


def test_ctrl_c_while_the_launcher_imports_ends_it_without_a_word(launcher, interrupted):
    done = launcher.run("-np", "2", "true", by=COMMAND, env=interrupted)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_ctrl_c_that_the_caller_ignores_stays_ignored(launcher, interrupted):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = launcher.run("-np", "2", "true", by=COMMAND, env=interrupted)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (done.returncode, done.stdout, done.stderr) == (3, "goes on\n", "")
