"""Runs a training script on several ranks and hands back what each rank saved."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from ..processes.job import FOREIGN
from ..readable import is_readable

DEADLINE_S = 60.0

# What every script begins with: names, the world, and a way to hand arrays and text back.
PREAMBLE = """
import os
from pathlib import Path
import numpy as np
import ringsync as rs
from ringsync import data, errors, models, nn, optim

rs.init()

def save(**arrays):
    np.savez(Path(os.environ["RESULTS"]) / f"rank.{rs.rank()}.npz", **arrays)

def parameters_of(net):
    return {name: parameter.data for name, parameter in net.named_parameters()}
"""


@dataclass
class Ran:
    """What came of a job."""

    code: int
    output: str
    ranks: list[dict[str, np.ndarray]]


class Forked:
    """The program in forked.py, started when the first job comes."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._errors: IO[str] | None = None

    def run(self, job: dict[str, object]) -> int:
        """The exit code of the rank that failed first; a job that hangs ends with the deadline."""
        if self._process is None:
            surroundings = {n: v for n, v in os.environ.items() if not n.startswith(FOREIGN)}
            self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the process
            self._process = subprocess.Popen(
                [sys.executable, Path(__file__).with_name("forked.py")],
                env=surroundings | {"OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,  # what ends it ends the ranks as well
                text=True,
            )
        with contextlib.suppress(BrokenPipeError):  # it has ended, and answers nothing below
            print(json.dumps(job), file=self._process.stdin, flush=True)
        if not is_readable(self._process.stdout, DEADLINE_S):
            self.close()
            output = Path(str(job["output"])).read_text()
            raise AssertionError(f"the ranks still run after {DEADLINE_S} s: {output}")
        answer = self._process.stdout.readline()
        if not answer:
            # The next job starts another one.
            raise AssertionError(f"forked.py has ended early: {self.close()}")
        return int(answer)

    def close(self) -> str:
        """What it said on stderr."""
        if self._process is None:
            return ""
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(BrokenPipeError):  # of a job that it has not taken
            self._process.communicate()
        self._process = None
        with self._errors:
            self._errors.seek(0)
            return self._errors.read()


# No longer than a module: other tests claim that this process has no child.
@pytest.fixture(scope="module")
def forked():
    made = Forked()
    yield made
    made.close()


@pytest.fixture
def meeting_place():
    # pytest's own directories have paths too long for the sockets that ranks meet at.
    with tempfile.TemporaryDirectory(prefix="rs-") as temporary:
        yield temporary


@pytest.fixture
def on_ranks(forked, meeting_place, tmp_path):
    """`on_ranks(np, script)` runs `script` on ranks of its own; one result per rank that saved."""
    runs = []

    def run(size, script, **variables):
        runs.append(size)
        results = tmp_path / f"run.{len(runs)}"
        results.mkdir()
        path, output = results / "script.py", results / "output"
        path.write_text(PREAMBLE + textwrap.dedent(script))
        places = {"RESULTS": str(results), "TMPDIR": meeting_place}
        job = {"script": str(path), "size": size, "output": str(output)}
        code = forked.run(job | {"environment": places | variables})
        files = [results / f"rank.{rank}.npz" for rank in range(size)]
        ranks = [dict(np.load(file)) for file in files if file.exists()]
        return Ran(code, output.read_text(), ranks)

    return run


# Parameters whose gradients are known: everywhere the number of the rank, from 1.
TOY = """
from ringsync.autograd import Parameter, Tensor

class Toy:
    def __init__(self, count=4, size=1000):
        values = [np.full(size, 1.0 + i, np.float32) for i in range(count)]
        self.all = [Parameter(value, name=f"p{i}") for i, value in enumerate(values)]

toy = Toy()
optimizer = rs.DistributedOptimizer(optim.SGD(toy.all, lr=0.1), **OPTIONS)

def loss_of(*used):
    total = toy.all[used[0]].sum() * float(rs.rank() + 1)
    for i in used[1:]:
        total = total + toy.all[i].sum() * float(rs.rank() + 1)
    return total
"""


def toy(body, options="{}"):
    return TOY.replace("OPTIONS", options) + body
