"""Starts benches as users do, as processes, in a place for temporary files of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MARK = "RINGSYNC_TEST_MARK"
# Where two tests share the cores torch alone takes a minute to load. This passes well before the
# limit of a test, 120 s, at which nothing would show that it was the bench that took so long.
DEADLINE_S = 90.0


class Benches:
    """Runs benches and finds what they leave behind."""

    def __init__(self, temporary: Path):
        self.temporary = temporary
        self.mark = uuid.uuid4().hex
        self.environment = os.environ | {MARK: self.mark, "TMPDIR": str(temporary)}

    def run(self, module: str, *words: str, **variables: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", module, *words],
            cwd=ROOT,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def start(self, module: str, *words: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", module, *words],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def leftovers(self) -> list[object]:
        """Files in the place for temporary ones, and processes that came of a bench."""
        wanted = f"{MARK}={self.mark}".encode()
        found: list[object] = list(self.temporary.iterdir())
        for directory in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended, or is another user's
                if wanted in (directory / "environ").read_bytes().split(b"\0"):
                    found.append(int(directory.name))
        return found


@pytest.fixture(scope="module")
def benches() -> Iterator[Benches]:
    # pytest's own directories have paths too long for the sockets that ranks meet at.
    temporary = Path(tempfile.mkdtemp(prefix="rs-"))
    started = Benches(temporary)
    yield started
    for left in started.leftovers():
        if isinstance(left, int):
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.kill(left, signal.SIGKILL)
    shutil.rmtree(temporary)
