"""One rank of a communicator of the fake NCCL: what all collectives give, beside NumPy's own.

A thread of a test, or a process: `python nccl_rank.py RANK SIZE`, whose rank 0 writes the id as its
first line and whose others read it; the last line says what was wrong.
"""

import json
import sys
import time
from functools import reduce
from pathlib import Path

import numpy as np

from bench.device.abi import Dtype
from bench.device.plugin import Plugin, find_plugin
from bench.device.values import NUMPY, narrowed, random_values, widened
from ringsync import _native

LIMIT_S = 20.0
# Numbers of the core's types that no kernel knows, but NCCL does.
BYTES = {0: np.dtype(np.uint8), 5: np.dtype(np.int8)}
DTYPES = (*Dtype, *BYTES)
OPS = {1: np.add, 3: np.minimum, 4: np.maximum, 5: np.multiply}
# Odd, and one that takes several of the boxes through which the fake's ranks pass bytes.
COUNTS = (1, 7, 5003)


def load():
    return _native.NcclLibrary(str(find_plugin("fake_nccl")), [])


class Rank:
    """Joined, with a stream of its own. Memory is NumPy's, as the simulated device has no other."""

    def __init__(self, library, unique_id, rank, size, **options):
        self.rank, self.size = rank, size
        self.communicator = _native.NcclCommunicator(library, unique_id, rank, size, **options)
        self.plugin = Plugin(find_plugin("hostsim"))
        self.stream = self.plugin.create_stream()
        self._kept = []  # what streams may still write to

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.communicator.close()
        self.plugin.call("destroy_stream", self.stream)

    def join(self):
        limit_s = time.monotonic() + LIMIT_S
        while not self.communicator.is_ready():
            assert time.monotonic() < limit_s, "the others have not come"
        return self

    def put(self, name, *arguments, timeout_s=LIMIT_S):
        getattr(self.communicator, name)(*arguments, self.stream, timeout_s)

    def synchronize(self):
        self.plugin.call("synchronize_stream", self.stream)

    def allreduce(self, source, **how):
        """A float32 sum, put on the stream."""
        result = np.zeros_like(source)
        self._kept.append(result)
        self.put("allreduce", at(source), at(result), Dtype.FLOAT32, 1, **how)
        return result

    def wrong(self):
        """Names of what did not come out as NumPy has it."""
        found = []
        for dtype in DTYPES:
            for op in OPS:
                for count in COUNTS:
                    found += self._wrong_sums(dtype, op, count)
        for count in COUNTS:
            found += self._wrong_copies(count)
        return found

    def _wrong_sums(self, dtype, op, count):
        given = [drawn(dtype, count * self.size, rank) for rank in range(self.size)]
        want = combined(given, dtype, op)
        own = given[self.rank].copy()
        whole, part = np.empty_like(own), np.empty(count, own.dtype)
        self.put("allreduce", at(own), at(whole), dtype, op)
        self.put("reduce_scatter", at(own), at(part), dtype, op)
        self.put("allreduce", at(own), at(own), dtype, op)
        self.synchronize()
        mine = want[self.rank * count : (self.rank + 1) * count]
        results = {
            "allreduce": (whole, want),
            "reduce_scatter": (part, mine),
            "in place": (own, want),
        }
        return differing(results, f"{dtype} {op} {count}")

    def _wrong_copies(self, count):
        given = [drawn(Dtype.INT32, count + 1, rank) for rank in range(self.size)]
        gathered = np.empty((self.size, count + 1), np.int32)
        self.put("allgather", at(given[self.rank]), at(gathered))
        results = {"allgather": (gathered, np.stack(given))}
        for root in range(self.size):
            sent = given[root].copy() if root == self.rank else np.empty_like(given[root])
            self.put("broadcast", at(sent), at(sent), root)
            results[f"broadcast of {root}"] = (sent, given[root])
        # To rank r go r times count of them: to the first nothing.
        lengths = [rank * count for rank in range(self.size)]
        sent = [drawn(Dtype.INT32, length, self.rank) for length in lengths]
        taken = [np.empty(lengths[self.rank], np.int32) for _ in range(self.size)]
        self.put("alltoall", [at(part) for part in sent], [at(part) for part in taken])
        for peer, part in enumerate(taken):
            want = drawn(Dtype.INT32, lengths[self.rank], peer)
            results[f"alltoall of {peer}"] = (part, want)
        self.synchronize()
        return differing(results, count)


def held():
    """What this process still has of a communicator's shared memory."""
    links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.exists()]
    lines = [*links, *Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if "memfd:ringsync-fake-nccl" in line]


def at(array):
    return array.ctypes.data, array.nbytes


def drawn(dtype, count, seed):
    generator = np.random.default_rng(seed)
    if dtype in BYTES:
        return generator.integers(0, 256, count).astype(BYTES[dtype])
    return random_values(generator, dtype, count).astype(NUMPY[dtype])


def combined(given, dtype, op):
    """What rank after rank makes of it."""
    if dtype in BYTES:
        return reduce(OPS[op], given)
    return narrowed(reduce(OPS[op], [widened(values, dtype) for values in given]), dtype)


def differing(results, where):
    return [f"{name} {where}" for name, pair in results.items() if not np.array_equal(*pair)]


def main():
    rank, size = map(int, sys.argv[1:])
    library = load()
    if rank == 0:
        unique_id = library.make_id()
        print(unique_id.hex(), flush=True)
    else:
        unique_id = bytes.fromhex(sys.stdin.readline())
    with Rank(library, unique_id, rank, size).join() as member:
        print(json.dumps(member.wrong()))


if __name__ == "__main__":
    main()
