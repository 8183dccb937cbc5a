"""One rank of a ring as a process: tasks come as JSON lines, answers go back the same way.

`ring_processes.py` starts it and passes names of memory between ranks.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.device.abi import Dtype
from bench.device.plugin import Plugin, PluginError
from bench.device.ring import Neighbours, RingRank, make_arena
from bench.device.values import Array, narrowed, random_values, widened

_PERIOD = 97  # of exact values: their sums over 8 ranks are whole in float32
_NARROW = (Dtype.FLOAT16, Dtype.BFLOAT16)


def exact_values(rank: int, count: int, turn: int, dtype: Dtype) -> Array:
    """Values whose sum over ranks the type holds exactly: zeros and ones where it has few bits."""
    numbers = np.arange(count) + turn
    values = numbers % 2 if dtype in _NARROW else numbers % _PERIOD * (rank + 1)
    return narrowed(values, dtype)


def exact_sum(size: int, count: int, turn: int, dtype: Dtype) -> Array:
    """Their sum over all ranks."""
    arrays = [widened(exact_values(rank, count, turn, dtype), dtype) for rank in range(size)]
    return narrowed(np.sum(arrays, axis=0), dtype)


class Rank:
    """This process: its arena, and its peers' once they are known."""

    def __init__(self, path: str, rank: int, size: int, size_bytes: int) -> None:
        """Make the arena and tell its name.

        Args:
            path: The plug-in.
            rank: This rank.
            size: Of the ring.
            size_bytes: Of the fusion buffer.
        """
        self.plugin = Plugin(Path(path))
        self.rank, self.size = rank, size
        self.arena = make_arena(self.plugin, size_bytes)
        _answer(name=self.plugin.export_memory(self.arena).hex())
        self.opened: dict[int, int] = {}
        self.ring = self._join(_task()["names"])

    def _join(self, names: list[str]) -> RingRank:
        def arena_of(rank: int) -> int:
            if rank == self.rank:
                return self.arena
            if rank not in self.opened:  # between two ranks the next one is the previous one
                self.opened[rank] = self.plugin.open_memory(bytes.fromhex(names[rank]))
            return self.opened[rank]

        previous, following = (self.rank - 1) % self.size, (self.rank + 1) % self.size
        arenas = Neighbours(self.arena, arena_of(previous), arena_of(following))
        return RingRank(self.plugin, self.rank, self.size, arenas)

    def check(self, task: dict[str, Any]) -> None:
        """Sum exact values and random ones; answer whether all were right, and what came out."""
        dtype, count, limit_s = Dtype(task["dtype"]), task["count"], task["limit_s"]
        wrong, digest = 0, hashlib.sha256()
        for turn in range(task["turns"]):
            found = self._sum(exact_values(self.rank, count, turn, dtype), dtype, limit_s)
            want = exact_sum(self.size, count, turn, dtype)
            wrong += int(np.count_nonzero(found != want))
            generator = np.random.default_rng([turn, self.rank])
            values = self._sum(random_values(generator, dtype, count), dtype, limit_s)
            digest.update(values.tobytes())
        _answer(wrong=wrong, digest=digest.hexdigest())

    def _sum(self, values: Array, dtype: Dtype, limit_s: float) -> Array:
        self.ring.before_pack()
        self.ring.finish(limit_s)
        self.plugin.put(values, self.ring.fused)
        self.ring.allreduce(values.size, dtype)
        self.ring.finish(limit_s)
        return self.plugin.get(self.ring.fused, np.empty_like(values))

    def measure(self, task: dict[str, Any]) -> None:
        """Time allreduces that follow one another without a wait on the host."""
        dtype, count = Dtype(task["dtype"]), task["count"]
        start_s = 0.0
        for turn in range(-task["warm_ups"], task["turns"]):
            if turn == 0:
                self.ring.finish(task["limit_s"])
                start_s = time.perf_counter()
            self.ring.before_pack()
            self.ring.allreduce(count, dtype)
        self.ring.finish(task["limit_s"])
        _answer(seconds=(time.perf_counter() - start_s) / task["turns"])

    def die(self, task: dict[str, Any]) -> None:
        """End as a killed process does, in the middle of the ring where `task` says this rank."""
        count, dtype = task["count"], Dtype.FLOAT32
        if task["rank"] == self.rank:
            os.kill(os.getpid(), signal.SIGKILL)
        self.ring.before_pack()
        self.ring.allreduce(count, dtype)
        try:
            self.ring.finish(task["limit_s"])
        except TimeoutError as error:
            _answer(raised=str(error))
        else:
            _answer(raised="")

    def close(self) -> None:
        """Close peers' memory, then tell; memory of one's own goes after all have told."""
        self.ring.close()
        for memory in self.opened.values():
            self.plugin.call("close_memory", memory)
        _answer(closed=True)
        _task()
        self.plugin.call("release", self.arena)


def _task() -> dict[str, Any]:
    line = sys.stdin.readline()
    if not line:  # whoever started it is gone
        raise SystemExit(1)
    task: dict[str, Any] = json.loads(line)
    return task


def _answer(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def main() -> None:
    """Do tasks until told to close."""
    path, rank, size, size_bytes = sys.argv[1:]
    try:
        this = Rank(path, int(rank), int(size), int(size_bytes))
        while True:
            task = _task()
            if task["do"] == "close":
                this.close()
                return
            getattr(this, task["do"])(task)
    except PluginError as error:
        _answer(failed=str(error))
        raise


if __name__ == "__main__":
    main()
