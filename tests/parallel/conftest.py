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
