"""Whoever is killed, whenever, is named by all others within two seconds, and nothing is left."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ..marks import MARK

HARNESS = Path(__file__).with_name("kill_harness.py")

# The test command takes some; .ci/run asks for all of them.
SEEDS = int(os.environ.get("RINGSYNC_TEST_SEEDS", "40"))


def run(jobs, *words):
    return subprocess.run(
        [sys.executable, *words],
        env={
            **os.environ,
            "TMPDIR": str(jobs.tmpdir),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": f"{HARNESS.parents[1]}:{HARNESS.parent}",  # marks, and the harness itself
            MARK: jobs.mark,
        },
        capture_output=True,
        text=True,
        timeout=590,
        check=False,
    )


@pytest.mark.alone
@pytest.mark.timeout(600)
@pytest.mark.parametrize("children", [False, True], ids=["alone", "with a forked child"])
def test_every_survivor_names_the_killed_rank_in_time_and_leaves_nothing(jobs, children):
    """Each form takes a half of the seeds.

    A form changes who holds the killed rank's memory and sockets besides it, a seed everything
    else; all seeds in both forms would take twice the time for the same variety of moments.
    """
    count = SEEDS // 2
    first = 0 if children else count
    done = run(jobs, HARNESS, str(first), str(count), *(["with-children"] if children else []))
    turns = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(turns) == count, done.stderr
    for turn in turns:
        told = f"{turn}\n{done.stderr}"
        victim, survivors = turn["victim"], turn["survivors"]
        assert turn["ready"] == turn["size"], told
        assert [one.get("lost") for one in survivors] == [victim] * (turn["size"] - 1), told
        for one in survivors:
            assert one["pending"] == 0, told
            assert one["spun_s"] < 0.025, told
            assert one["fds"] == 0, told
            assert one["mappings"] == 0, told
        expected = [-signal.SIGKILL if rank == victim else 0 for rank in range(turn["size"])]
        assert turn["ends"] == expected, told
        assert turn["processes"] == [], told
        assert turn["mappings"] == 0, told
        assert turn["files"] == [], told
    late = sorted(one["late_s"] for turn in turns for one in turn["survivors"])
    assert late[int(0.99 * (len(late) - 1))] < 2.0, f"{late[-5:]}\n{done.stderr}"


@pytest.mark.parametrize(
    ("work", "words", "code"),
    [
        ("harness.pause(60)", "in work", -signal.SIGKILL),  # far longer than the limit
        ("raise ValueError('the reason')", "ValueError: the reason", 1),
    ],
    ids=["hangs", "fails"],
)
def test_a_survivor_that_hangs_or_fails_leaves_the_reason_on_stderr(jobs, work, words, code):
    done = run(
        jobs,
        "-c",
        f"""if True:
        import kill_harness as harness
        def work(*_):
            {work}
        harness.survive = work
        harness.LIMIT_S = 2 * harness.STACKS_S
        print(harness.json.dumps(harness.play(0, has_child=False)))
        """,
    )
    turn = json.loads(done.stdout)
    assert [end for rank, end in enumerate(turn["ends"]) if rank != turn["victim"]] == [code] * (
        turn["size"] - 1
    )
    assert done.stderr.count(words) == turn["size"], done.stderr
