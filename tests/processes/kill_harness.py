"""Kills a random rank at a random moment of a stream of allreduces, again and again.

    python kill_harness.py FIRST_SEED COUNT [with-children]

Ranks are forked from here before `init`, so that a turn takes tenths of a second. Prints one line
of JSON per seed: who was killed, what the survivors saw and when, how all ended, and what they left
behind. Why a survivor failed, or where it hangs, is on stderr.
"""

import contextlib
import faulthandler
import json
import os
import random
import resource
import select
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

import numpy as np
from marks import MARK, marked, shared_memory_names
from readable import is_readable

import ringsync as rs
from ringsync import errors

LIMIT_S = 20.0
# Whoever hangs at the limit is killed, and shows its stacks this much earlier. That takes some
# milliseconds; two busy cores may keep it waiting for tenths of a second.
STACKS_S = 1.0
# What a killed process group takes to be gone; longer, and it is told as left.
GONE_S = 5.0

# Where time itself is the subject: a moment by chance, and a while in which nothing may happen.
pause = threading.Event().wait


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def shared_mappings() -> int:
    """How much of ringsync's shared memory this process has mapped."""
    return Path("/proc/self/maps").read_text().count("memfd:ringsync")


def files() -> set[str]:
    """All that lies where ranks could leave something."""
    return {one.name for one in Path(os.environ["TMPDIR"]).iterdir()} | shared_memory_names()


def processes() -> set[int]:
    """All that came of this process and live; those of a killed group get a moment to go."""
    until_s = time.monotonic() + GONE_S
    for pid in marked(os.environ[MARK]) - {os.getpid()}:
        with contextlib.suppress(ProcessLookupError):  # it has gone
            ending = os.pidfd_open(pid)
            is_readable(ending, until_s - time.monotonic())
            os.close(ending)
    return marked(os.environ[MARK]) - {os.getpid()}


def survive(rank: int, size: int, seed: int, report: int) -> None:
    """One rank's life, until another one dies."""
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE=str(size),
        LOCAL_WORLD_SIZE=str(size),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(20_000 + seed),
        RINGSYNC_TIMEOUT_S=str(LIMIT_S),
    )
    before = descriptors()
    rs.init()
    rs.barrier()
    os.write(report, b"ready\n")
    chance = random.Random(1000 + seed)  # alike on all ranks
    arrays = [np.ones(chance.choice([3, 700, 20_000, 400_000])) for _ in range(8)]
    handles: list[rs.Handle] = []
    try:
        while True:
            form = chance.randrange(3)
            if form == 0:
                rs.allreduce_(chance.choice(arrays))
            elif form == 1:
                rs.grouped_allreduce_(arrays[:3])
            else:
                handles = [
                    rs.allreduce_async_(array, name=str(i)) for i, array in enumerate(arrays)
                ]
                for handle in handles:
                    handle.wait()
    except errors.PeerLostError as error:
        seen_s = time.monotonic()
        lost = error.rank
    pending = sum(not handle.done() for handle in handles)
    used = resource.getrusage(resource.RUSAGE_SELF)
    pause(0.05)  # in which nothing may spin
    later = resource.getrusage(resource.RUSAGE_SELF)
    spun_s = later.ru_utime + later.ru_stime - used.ru_utime - used.ru_stime
    rs.shutdown()
    left = descriptors() - before
    said = {"lost": lost, "seen_s": seen_s, "pending": pending, "spun_s": spun_s, "fds": left}
    said["mappings"] = shared_mappings()
    os.write(report, json.dumps(said).encode() + b"\n")


def begin(rank: int, size: int, seed: int, has_child: bool) -> tuple[int, int, int]:
    """Fork one rank; its pid, where it reports, and what it says on stderr."""
    ear, mouth = os.pipe()
    said = os.memfd_create("stderr")  # its own: stacks of two at once would be mixed in one
    pid = os.fork()
    if pid:
        os.close(mouth)
        return pid, ear, said
    code = 1
    try:
        os.close(ear)
        os.dup2(said, 2)
        faulthandler.dump_traceback_later(LIMIT_S - STACKS_S)
        os.setpgid(0, 0)
        if has_child and os.fork() == 0:
            os.close(mouth)
            signal.alarm(int(LIMIT_S))
            signal.pause()  # until it is killed with its group
            os._exit(0)
        survive(rank, size, seed, mouth)
        code = 0
    except BaseException:  # os._exit would end it without a word
        traceback.print_exc()
    finally:
        os._exit(code)


def read_line(ear: int, until_s: float) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([ear], [], [], max(0.0, until_s - time.monotonic()))
        piece = os.read(ear, 4096) if ready else b""
        if not piece:
            return b""
        line += piece
    return line


def play(seed: int, has_child: bool) -> dict:
    chance = random.Random(seed)
    size = chance.randint(2, 4)
    victim = chance.randrange(size)
    before = files()
    ranks = [begin(rank, size, seed, has_child) for rank in range(size)]
    until_s = time.monotonic() + LIMIT_S
    ready = [read_line(ear, until_s) for _, ear, _ in ranks]
    pause(chance.random() * 0.05)
    killed_s = time.monotonic()
    os.kill(ranks[victim][0], signal.SIGKILL)
    found: dict = {"seed": seed, "size": size, "victim": victim, "ready": ready.count(b"ready\n")}
    found["survivors"] = []
    for rank, (pid, ear, words) in enumerate(ranks):
        line = b"" if rank == victim else read_line(ear, until_s)
        if rank != victim:
            said = json.loads(line or b"{}")
            said["late_s"] = said.pop("seen_s", killed_s + LIMIT_S) - killed_s
            said["rank"] = rank
            found["survivors"].append(said)
        os.close(ear)
        if not line and rank != victim:
            os.kill(pid, signal.SIGKILL)  # it is late, and would be waited for
        _, status = os.waitpid(pid, 0)
        found.setdefault("ends", []).append(os.waitstatus_to_exitcode(status))
        if has_child:
            os.killpg(pid, signal.SIGKILL)
        with os.fdopen(words, "rb") as file:
            file.seek(0)
            sys.stderr.buffer.write(file.read())
    found["processes"] = sorted(processes())
    found["mappings"] = shared_mappings()
    found["files"] = sorted(files() - before)
    return found


def main() -> None:
    first, count = int(sys.argv[1]), int(sys.argv[2])
    for seed in range(first, first + count):
        print(json.dumps(play(seed, "with-children" in sys.argv)), flush=True)


if __name__ == "__main__":
    main()
