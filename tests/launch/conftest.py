"""Starts `ringsyncrun` as users do, as a process, and finds every process that came of it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

import ringsync
from ringsync.launch.stacks import ask_for_stacks

from ..marks import MARK, end_marked, marked
from ..readable import is_readable

# No launcher takes longer, on a busy machine too; less than sleeps in scripts, and than the time in
# which ranks look for each other.
DEADLINE_S = 50.0
STACKS_S = 2.0  # for all processes to show their stacks, once a test has failed
# A Python program that becomes another one, for `by`.
AS_A_COMMAND = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"

# What Python runs; () runs the first word as a script.
LAUNCHER = ("-m", "ringsync.launch")


def launcher_environment(mark: str) -> dict[str, str]:
    # One thread: NumPy's others take longer to start than most jobs here to run.
    environment = os.environ | {"OMP_NUM_THREADS": "1", MARK: mark}
    try:
        importlib.metadata.distribution("ringsync")
    except importlib.metadata.PackageNotFoundError:
        environment["PYTHONPATH"] = str(Path(ringsync.__file__).parents[1])
    return environment


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Running:
    """A launcher that is still at work."""

    def __init__(self, process: subprocess.Popen, output: int, mark: str):
        self.process = process
        self.mark = mark
        self._output = output
        self.text = b""

    def expect(self, text: str, count: int = 1) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while self.text.count(text.encode()) < count:
            if not self._read(deadline):
                self._fail(f"{text!r} did not come {count} times")

    def finish(self) -> int:
        """Read to the end of the output, then wait for the launcher."""
        deadline = time.monotonic() + DEADLINE_S
        while self._read(deadline):
            pass
        try:
            return self.process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._fail("the launcher does not end")

    def _fail(self, why: str) -> NoReturn:
        """Fail with the stacks of all that runs: launcher, guards, ranks and what those started."""
        obstacles = {pid: ask_for_stacks(pid) for pid in self.members()}
        limit = time.monotonic() + STACKS_S
        while self._read(limit):
            pass
        raise AssertionError(f"{why}; no stacks of: {obstacles}; {self.text.decode()}")

    def _read(self, deadline: float) -> bool:
        if not is_readable(self._output, deadline - time.monotonic()):
            return False
        try:
            data = os.read(self._output, 65536)
        except OSError:  # EIO: the last process has let go of the terminal
            return False
        self.text += data
        return bool(data)

    def members(self) -> set[int]:
        """Every process, the launcher's too, that inherited this run's mark."""
        return marked(self.mark)

    def wait_until_gone(self) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while members := self.members():
            for pid in members:
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    descriptor = os.pidfd_open(pid)
                    is_gone = is_readable(descriptor, deadline - time.monotonic())
                    os.close(descriptor)
                    if pid == self.process.pid:
                        self.process.wait(timeout=DEADLINE_S)
                    assert is_gone, f"process {pid} still lives after {DEADLINE_S} s"


class Launcher:
    def __init__(self, directory: Path):
        self.directory = directory
        self.running: list[Running] = []

    def script(self, body: str, name: str = "script.py") -> str:
        path = self.directory / name
        path.write_text(textwrap.dedent(body))
        return str(path)

    def run(
        self, *words: str, env=None, by=LAUNCHER, limit_s=DEADLINE_S, **options
    ) -> subprocess.CompletedProcess:
        mark = uuid.uuid4().hex
        command = [sys.executable, *by, *words]
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(
            command,
            env=launcher_environment(mark) | (env or {}),
            cwd=self.directory,
            **(piped | options),
        ) as process:
            try:
                out, err = process.communicate(timeout=limit_s)
            except subprocess.TimeoutExpired:
                obstacles = {pid: ask_for_stacks(pid) for pid in marked(mark)}
                with contextlib.suppress(subprocess.TimeoutExpired):  # stacks are all we want
                    process.communicate(timeout=STACKS_S)
                process.kill()
                raise AssertionError(
                    f"{words} does not end; no stacks of: {obstacles}; {process.communicate()}"
                ) from None
            return subprocess.CompletedProcess(command, process.returncode, out, err)

    def start(self, *words: str, by=LAUNCHER, **options) -> Running:
        mark = uuid.uuid4().hex
        process = subprocess.Popen(
            [sys.executable, *by, *words],
            env=launcher_environment(mark),
            cwd=self.directory,
            **({"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | options),
        )
        running = Running(process, (process.stdout or process.stderr).fileno(), mark)
        self.running.append(running)
        return running

    def start_on_terminal(self, *words: str, by=LAUNCHER) -> tuple[Running, int]:
        """Start with a terminal of its own; a session leader that opens one comes to own it."""
        mark = uuid.uuid4().hex
        master, slave = os.openpty()
        open_it = "import os,sys; os.close(os.open(sys.argv[1], os.O_RDWR)); "
        become = "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
        shim = [sys.executable, "-c", open_it + become, os.ttyname(slave)]
        process = subprocess.Popen(
            [*shim, *by, *words],
            env=launcher_environment(mark),
            cwd=self.directory,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        running = Running(process, master, mark)
        self.running.append(running)
        return running, master


@pytest.fixture(autouse=True)
def _hang_ups_arrive() -> Iterator[None]:
    """Under nohup whatever tests start would ignore them."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    if before is not None:  # else it is not Python's
        signal.signal(signal.SIGHUP, before)


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launcher]:
    # pytest's own directories have paths too long for sockets, so jobs would not be made in them.
    temporary = tempfile.mkdtemp(prefix="rs-")
    monkeypatch.setenv("TMPDIR", temporary)
    started = Launcher(tmp_path)
    yield started
    for running in started.running:
        end_marked(running.mark)
        running.process.wait(timeout=DEADLINE_S)
        for pipe in (running.process.stdout, running.process.stderr):
            if pipe is not None:
                pipe.close()
    shutil.rmtree(temporary)
