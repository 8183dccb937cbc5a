"""Runs scripts as ranks that are forked where ringsync is imported already, in milliseconds.

A program: reads jobs from its input, one line of JSON each, and answers each with one number, the
exit code of the rank that failed first, or 0. Ranks find their world as under torchrun.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import ringsync  # noqa: F401  what it is all for: no rank loads it, and NumPy, once more


def next_rank() -> str | None:
    """In a rank, the script that it is to run; None where the input has ended."""
    jobs, answers = os.fdopen(os.dup(0)), os.dup(1)
    for line in jobs:
        job = json.loads(line)
        for rank in range(job["size"]):
            if os.fork() == 0:
                jobs.close()
                os.close(answers)
                become(rank, job)
                return job["script"]
        os.write(answers, b"%d\n" % first_failure(job["size"]))
    return None


def become(rank: int, job: dict[str, Any]) -> None:
    """Take on what a launcher would have given this rank."""
    os.environ |= job["environment"]
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(job["size"]),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(job["size"]),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29400",
    }
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(job["output"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number, file in enumerate((nothing, output, output)):
        os.dup2(file, number)
    os.close(nothing)
    os.close(output)
    sys.argv = [job["script"]]


def first_failure(count: int) -> int:
    codes = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(count)]
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    script = next_rank()
    if script is not None:
        # In this very module, so that what it defines lives until the interpreter ends.
        exec(compile(Path(script).read_bytes(), script, "exec"))
