"""Runs a training script on several ranks and hands back what each rank saved."""

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass

import numpy as np
import pytest

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


@pytest.fixture
def on_ranks(tmp_path):
    """`on_ranks(np, script)` runs `script` under the launcher; one result per rank that saved."""
    runs = []

    def run(size, script, **variables):
        runs.append(size)
        results = tmp_path / f"run.{len(runs)}"
        results.mkdir()
        path = results / "script.py"
        path.write_text(PREAMBLE + textwrap.dedent(script))
        done = subprocess.run(
            [sys.executable, "-m", "ringsync.launch", "-np", str(size), str(path)],
            env={
                **os.environ,
                "RESULTS": str(results),
                "OMP_NUM_THREADS": "1",
                "TMPDIR": str(tmp_path),
                **variables,
            },
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        files = [results / f"rank.{rank}.npz" for rank in range(size)]
        ranks = [dict(np.load(file)) for file in files if file.exists()]
        return Ran(done.returncode, done.stdout + done.stderr, ranks)

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
