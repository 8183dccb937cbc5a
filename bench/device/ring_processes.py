"""Starts the ranks of a ring as processes, passes names of memory on, and gathers answers.

What ranks do is ring_rank.py's matter.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]


class RankFailedError(RuntimeError):
    """A rank said that it failed, or ended without an answer."""


class RingProcesses:
    """The ranks of one ring. Leaving the block ends them all, whatever happened."""

    def __init__(self, plugin: Path, size: int, size_bytes: int) -> None:
        """Start them and let them meet.

        Args:
            plugin: The file.
            size: How many.
            size_bytes: Of every fusion buffer.

        Raises:
            RankFailedError: One cannot share its memory.
        """
        self.size = size
        self._ranks = [
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "bench.device.ring_rank"),
                    *(str(plugin), str(rank), str(size), str(size_bytes)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=_ROOT,
                env={**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"},
            )
            for rank in range(size)
        ]
        try:
            names = [answer["name"] for answer in self.answers()]
            self.tell(names=names)
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> RingProcesses:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let ranks close their memory, or end them where something failed."""
        try:
            if kind is None and all(rank.poll() is None for rank in self._ranks):
                self.tell(do="close")
                list(self.answers())
                self.tell()
                for rank in self._ranks:
                    rank.wait(timeout=20)
        finally:
            self._end()

    def ask(self, **task: object) -> list[dict[str, Any]]:
        """Give all ranks a task and gather their answers."""
        self.tell(**task)
        return list(self.answers())

    def tell(self, **task: object) -> None:
        """Give all ranks a task."""
        line = json.dumps(task) + "\n"
        for rank in self._ranks:
            if rank.stdin is not None:
                with contextlib.suppress(BrokenPipeError):  # its answer says so
                    rank.stdin.write(line)
                    rank.stdin.flush()

    def answers(self, without: int | None = None) -> Iterator[dict[str, Any]]:
        """Read an answer of every rank.

        Args:
            without: A rank that gives none.

        Yields:
            Facts, by rank.

        Raises:
            RankFailedError: There is no answer, or it says so.
        """
        for number, rank in enumerate(self._ranks):
            if number == without or rank.stdout is None:
                continue
            watchdog = threading.Timer(60.0, rank.kill)
            watchdog.start()
            line = rank.stdout.readline()
            watchdog.cancel()
            facts: dict[str, Any] = json.loads(line) if line else {"failed": "no answer"}
            if "failed" in facts:
                raise RankFailedError(f"[ring] rank {number} of {self.size}: {facts['failed']}")
            yield facts

    def _end(self) -> None:
        for rank in self._ranks:
            rank.kill()
            rank.wait()
            for pipe in (rank.stdin, rank.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):  # it has been killed
                        pipe.close()
