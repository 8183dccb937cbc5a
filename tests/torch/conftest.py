"""Ranks as processes that have torch before they start, so that a job takes tenths of a second."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable
from typing import Any

import cloudpickle
import pytest

# No test waits longer for its ranks; what takes longer hangs.
DEADLINE_S = 100.0

_JOBS = itertools.count(1)


def _rank_main(pipe: Any, payload: bytes, rank: int, size: int, job: str) -> None:
    """One rank: runs the function and sends back its result, or how it failed."""
    # torchrun's names, and those that scripts written for Horovod read.
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29400",
        "TORCHELASTIC_RUN_ID": job,
        "HOROVOD_RANK": str(rank),
        "HOROVOD_SIZE": str(size),
    }
    try:
        import torch  # noqa: PLC0415  only the ranks need it

        torch.set_num_threads(1)
        function, args, kwargs = cloudpickle.loads(payload)
        outcome = (True, function(*args, **kwargs))
    except BaseException:  # whatever it is, the test shows it
        outcome = (False, traceback.format_exc())
    pipe.send_bytes(cloudpickle.dumps(outcome))
    pipe.close()


def run_ranks(size: int, function: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Any]:
    """Run `function` on `size` ranks.

    Returns:
        Its results by rank. A rank that fails fails the test with its traceback.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch._dynamo", "ringsync.torch"])
    payload = cloudpickle.dumps((function, args, kwargs))
    job = f"test-{os.getpid()}-{next(_JOBS)}"
    pipes, processes = [], []
    for rank in range(size):
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_rank_main, args=(theirs, payload, rank, size, job), daemon=True
        )
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    limit = time.monotonic() + DEADLINE_S
    try:
        outcomes = [_outcome(pipe, limit) for pipe in pipes]
        for process in processes:
            process.join(max(0.0, limit - time.monotonic()))
    finally:
        for process in processes:
            process.kill()
            process.join()
    failures = [f"rank {r}: {what}" for r, (is_fine, what) in enumerate(outcomes) if not is_fine]
    assert not failures, "\n".join(failures)
    return [what for _, what in outcomes]


def _outcome(pipe: Any, limit: float) -> tuple[bool, Any]:
    if not pipe.poll(max(0.0, limit - time.monotonic())):
        return False, f"no result after {DEADLINE_S} s"
    try:
        return cloudpickle.loads(pipe.recv_bytes())
    except EOFError:
        return False, "ended without a result"


@pytest.fixture
def ranks() -> Callable[..., list[Any]]:
    return run_ranks
