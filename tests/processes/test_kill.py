"""Whoever is killed, whenever, is named by all others within two seconds, and nothing is left."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).with_name("kill_harness.py")

# The test command takes some; .ci/run asks for all of them.
SEEDS = int(os.environ.get("RINGSYNC_TEST_SEEDS", "40"))


@pytest.mark.alone
@pytest.mark.timeout(600)
@pytest.mark.parametrize("children", [False, True], ids=["alone", "with a forked child"])
def test_every_survivor_names_the_killed_rank_in_time_and_leaves_nothing(jobs, children):
    count = SEEDS // 2
    first = 0 if children else count
    done = subprocess.run(
        [sys.executable, HARNESS, str(first), str(count), *(["with-children"] if children else [])],
        env={**os.environ, "TMPDIR": str(jobs.tmpdir), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=590,
        check=False,
    )
    turns = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(turns) == count, done.stderr[-4000:]
    for turn in turns:
        assert turn["ready"] == turn["size"], turn
        assert [one.get("lost") for one in turn["survivors"]] == [turn["victim"]] * (
            turn["size"] - 1
        ), turn
        for one in turn["survivors"]:
            assert one["pending"] == 0, turn
            assert one["spun_s"] < 0.025, turn
            assert one["fds"] == 0, turn
        assert turn["files"] == [], turn
    late = sorted(one["late_s"] for turn in turns for one in turn["survivors"])
    assert late[int(0.99 * (len(late) - 1))] < 2.0, late[-5:]
