"""Starts benches as users do, as processes, in a place for temporary files of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..marks import MARK, end_marked, marked

ROOT = Path(__file__).resolve().parents[2]
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
        return [*self.temporary.iterdir(), *marked(self.mark)]


@pytest.fixture(scope="module")
def benches() -> Iterator[Benches]:
    # pytest's own directories have paths too long for the sockets that ranks meet at.
    temporary = Path(tempfile.mkdtemp(prefix="rs-"))
    started = Benches(temporary)
    yield started
    end_marked(started.mark)
    shutil.rmtree(temporary)
