"""Starts the ranks of a job by hand, as processes, and ends whatever is left of them."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..marks import MARK, end_marked, marked, shared_memory_names

DEADLINE_S = 30.0

# At this one a rank writes the stacks of all its threads to stderr, whoever holds the interpreter.
# Not the one at which ringsync lets it do so: that is under test.
STACKS_SIGNAL = signal.SIGUSR2
# For ranks that hang to write them, which takes some milliseconds where the cores are free. Whoever
# has written keeps nobody waiting.
STACKS_S = 10.0
# Writing that has paused for this long is over.
SILENCE_S = 0.1

# It takes the empty first line of the preamble: messages under test name lines of the script.
SHOW_STACKS = f"import faulthandler; faulthandler.register({STACKS_SIGNAL:d})"
# Where rank scripts begin. `tell` and `await_word` order what ranks do without a clock.
PREAMBLE = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
import ringsync as rs
from ringsync import errors

BOARD = Path(os.environ["BOARD"])
RANK = int(os.environ["RANK"]) if os.environ.get("RANK", "").isdigit() else None

def tell(word):
    (BOARD / word).touch()
    os.write(int(os.environ["TELL"]), f"{word} {os.getpid()}\\n".encode())

def await_word(word, limit_s=20.0):
    until = time.monotonic() + limit_s
    while not (BOARD / word).exists():
        if time.monotonic() > until:
            sys.exit(f"nobody told {word!r}")
        time.sleep(0.002)  # leaves the cores to the ranks under test

def require_inert(*uses):
    # In a forked child, which ends with 1 where one of its parent's things still works.
    for use in uses:
        try:
            use()
        except errors.NotInitializedError as error:
            assert "forked child" in str(error)
        else:
            sys.exit(f"{use} works in a forked child")
"""

# Whatever the test's own surroundings say of ranks must not reach the ranks under test.
FOREIGN = (
    "RINGSYNC_", "RANK", "WORLD_SIZE", "LOCAL_", "MASTER_", "TORCHELASTIC_", "HOROVOD_", "OMPI_",
    "PMI_", "PMIX_", "MPI_", "SLURM_", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GROUP_RANK",
)  # fmt: skip


def _shows_stacks(pid: int) -> bool:
    """Whether a process is not stopped, and has got as far as to handle the signal for stacks."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    facts = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    is_caught = int(facts.get("SigCgt", "0"), 16) >> (STACKS_SIGNAL - 1) & 1
    return bool(is_caught) and facts["State"][0] not in "TtZX"


@dataclass
class Ended:
    """What came of one process."""

    code: int | None
    out: str
    err: str

    @property
    def said(self) -> list[str]:
        return self.out.splitlines()


def require_ended(ended: list[Ended]) -> None:
    """All ended, and well."""
    assert [one.code for one in ended] == [0] * len(ended), [one.err for one in ended]


class Job:
    """Processes that run one script as ranks of one world."""

    def __init__(self, directory: Path, size: int):
        self.board = directory / "board"
        self.board.mkdir(parents=True)
        self.directory = directory
        self.size = size
        self.started: list[subprocess.Popen] = []
        self.ear, self.mouth = os.pipe()
        self._never = threading.Event()
        self._heard = b""

    def word(self, word: str) -> int:
        """Wait until a rank has told `word`; the process id of the teller."""
        until = time.monotonic() + DEADLINE_S
        while True:
            told = dict(line.split() for line in self._heard.decode().splitlines())
            if word in told:
                return int(told[word])
            # Not select(): tests of descriptors may have opened more than a thousand.
            ready = select.poll()
            ready.register(self.ear, select.POLLIN)
            if not ready.poll(max(0.0, 1000 * (until - time.monotonic()))):
                self.show_stacks()
                raise AssertionError(f"nobody told {word!r}: {self.errors()}")
            self._heard += os.read(self.ear, 4096)

    def tell(self, word: str) -> None:
        (self.board / word).touch()

    def kill(self, rank: int, number: int = signal.SIGKILL) -> None:
        self.started[rank].send_signal(number)

    def end(self, limit_s: float = DEADLINE_S) -> list[Ended]:
        """Wait for all ranks, at most until the deadline.

        The code of one that hangs is None, and its stacks are in what it wrote.
        """
        until = time.monotonic() + limit_s
        for process in self.started:
            with contextlib.suppress(subprocess.TimeoutExpired):  # its code is None
                process.wait(max(0.05, until - time.monotonic()))
        self.show_stacks()
        return [
            Ended(process.poll(), *(self.text(kind, index) for kind in ("out", "err")))
            for index, process in enumerate(self.started)
        ]

    def await_text(self, kind: str, indices: tuple[int, ...], wanted: str) -> str:
        """Wait until one of the ranks has written `wanted`; all that they have written."""
        until = time.monotonic() + DEADLINE_S
        while wanted not in (seen := "".join(self.text(kind, index) for index in indices)):
            if time.monotonic() > until:
                self.show_stacks()
                raise AssertionError(f"nobody wrote {wanted!r}: {seen}{self.errors()}")
            self.pause(0.01)
        return seen

    def show_stacks(self) -> None:
        """Let all ranks that still run, and can, write their stacks to their stderr."""
        for index, process in enumerate(self.started):
            if process.poll() is None and _shows_stacks(process.pid):
                size = len(self.text("err", index))
                process.send_signal(STACKS_SIGNAL)
                self._await_silence(index, size)

    def _await_silence(self, index: int, size: int) -> None:
        """Wait until a rank has written more than `size` characters of errors, and no more come."""
        until = time.monotonic() + STACKS_S
        before = size
        while time.monotonic() < until:
            self.pause(SILENCE_S)
            now = len(self.text("err", index))
            if now == before > size:
                return
            before = now

    def pause(self, seconds: float) -> None:
        """Let time pass in which a rank is stopped, or writes."""
        self._never.wait(seconds)

    def text(self, kind: str, index: int) -> str:
        return (self.directory / f"{kind}.{index}").read_text(errors="replace")

    def errors(self) -> str:
        return "\n".join(self.text("err", index)[-2000:] for index in range(len(self.started)))

    def close(self) -> None:
        for process in self.started:
            process.wait()
        os.close(self.ear)
        os.close(self.mouth)


class Jobs:
    """Makes jobs; whatever they start inherits a mark by which it is found and ended."""

    def __init__(self) -> None:
        # A path short enough for sockets, unlike pytest's own.
        self.temporary = Path(tempfile.mkdtemp(prefix="rs-"))
        self.tmpdir = self.temporary / "tmp"
        self.tmpdir.mkdir()
        self.mark = uuid.uuid4().hex
        self._jobs: list[Job] = []
        self._before = shared_memory_names()

    def start(self, size: int, script: str, *, start: int | None = None, **variables: str) -> Job:
        """Start ranks 0 to `start` - 1, by default all, of a job that meets by hand."""
        directory = self.temporary / f"job.{len(self._jobs)}"
        job = Job(directory, size)
        self._jobs.append(job)
        (directory / "script.py").write_text(SHOW_STACKS + PREAMBLE + textwrap.dedent(script))
        for rank in range(size if start is None else start):
            self.add(job, rank, **variables)
        return job

    def add(self, job: Job, rank: int, by: Sequence[str] = (), **variables: str) -> None:
        """Start one rank; `by` are words between Python and the script, as of another launcher."""
        own = {
            "RANK": str(rank),
            "WORLD_SIZE": str(job.size),
            "LOCAL_WORLD_SIZE": str(job.size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": "29517",
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(self.tmpdir),
            "BOARD": str(job.board),
            "TELL": str(job.mouth),
            MARK: self.mark,
        }
        environment = {n: v for n, v in os.environ.items() if not n.startswith(FOREIGN)}
        merged = environment | own | variables
        index = len(job.started)
        with (
            (job.directory / f"out.{index}").open("wb") as out,
            (job.directory / f"err.{index}").open("wb") as err,
        ):
            job.started.append(
                subprocess.Popen(
                    [sys.executable, *by, str(job.directory / "script.py")],
                    env={name: value for name, value in merged.items() if value},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    pass_fds=[job.mouth],
                )
            )

    def run(self, size: int, script: str, limit_s: float = DEADLINE_S, **variables: str):
        return self.start(size, script, **variables).end(limit_s)

    def remains(self) -> list[str]:
        """Files in the ranks' temporary directory and new ones in /dev/shm."""
        mine = [path.name for path in self.tmpdir.iterdir()]
        return sorted([*mine, *(shared_memory_names() - self._before)])

    def members(self) -> set[int]:
        return marked(self.mark)

    def close(self) -> None:
        end_marked(self.mark)
        for job in self._jobs:
            job.close()
        shutil.rmtree(self.temporary)
