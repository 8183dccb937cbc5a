"""A rank that keeps a launched job waiting past its limit ends it, and is named."""

import os
import re
import signal
import subprocess

import pytest

from .test_exit import job_directories

# Stall limits, in seconds; longer than ranks that are not stopped take to come to the operation.
WARN_S, ABORT_S = "0.5", "2"


@pytest.mark.alone
def test_a_rank_stopped_beyond_the_limit_ends_the_job_with_75_and_is_named_with_the_tensor(
    launcher,
):
    script = launcher.script(
        """
        import os, sys, time
        import numpy as np
        import ringsync as rs
        rs.init()
        rs.barrier()
        print(f"rank {rs.rank()} is {os.getpid()}.", file=sys.stderr)
        if rs.rank() == 2:
            time.sleep(60)  # until it is stopped
        rs.allreduce(np.ones(4), name="fc1.weight")
        """
    )
    limits = ("-x", f"RINGSYNC_STALL_WARN_S={WARN_S}", "-x", f"RINGSYNC_STALL_ABORT_S={ABORT_S}")
    running = launcher.start(
        "-np", "3", *limits, script, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    running.expect("] rank 2 is ")
    running.expect(".\n", 3)
    os.kill(int(running.text.split(b"] rank 2 is ")[1].split(b".")[0]), signal.SIGSTOP)
    assert running.finish() == 75
    told = running.text.decode()
    assert "for ranks {2} in allreduce 'fc1.weight'." in told
    assert "Its process is stopped, so its stacks cannot be had." in told
    # At the limit, or whenever a core is free after it.
    moved = r"StallError: \[allreduce\] 'fc1\.weight': nothing has moved for [\d.]+ s"
    assert re.search(moved, told), told
    assert "ranks {2} take no part." in told
    assert running.members() == set()
    assert job_directories() == []
