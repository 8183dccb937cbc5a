"""Buckets of tensors on a device, with poison around everything that a kernel may not touch."""

import numpy as np

from bench.device.abi import Dtype
from bench.device.plugin import make_move, make_table
from bench.device.values import NUMPY, moved, random_values

POISON = 0xCD
ALIGN_BYTES = 256


class Bucket:
    """Tensors of `counts` elements, each `shifts` elements past an aligned address."""

    def __init__(self, device, counts, shifts, dtypes, seed=0):
        self.device, self.dtypes = device, dtypes
        self.counts = [int(count) for count in counts]
        self.generator = np.random.default_rng(seed)
        tensor, fused = (NUMPY[dtype].itemsize for dtype in dtypes)
        self.offsets, self.firsts = [], []
        place = first = 0
        for count, shift in zip(self.counts, map(int, shifts), strict=True):
            place = -(-place // ALIGN_BYTES) * ALIGN_BYTES + shift * tensor
            self.offsets.append(place)
            place += count * tensor
            self.firsts.append(first)
            quantum = ALIGN_BYTES // fused
            first += -(-count // quantum) * quantum
        self.tensor_bytes, self.elements = place + ALIGN_BYTES, first
        self.fused_bytes = first * fused + ALIGN_BYTES
        self.tensors = device.filled(self.tensor_bytes, POISON)
        self.fused = device.filled(self.fused_bytes, POISON)

    def move(self, scale=1.0, shape=None):
        table = make_table(
            [
                (self.tensors + offset, first, count)
                for offset, first, count in zip(self.offsets, self.firsts, self.counts, strict=True)
            ]
        )
        made = make_move(table, self.fused, self.elements, self.dtypes, scale=scale, shape=shape)
        made.table = table  # kept as long as what points to it
        return made

    def draw(self, dtype):
        return [random_values(self.generator, dtype, count) for count in self.counts]

    def image(self, size_bytes, places, arrays):
        """All bytes of a memory: poison, but for `arrays` at `places`."""
        image = np.full(size_bytes, POISON, np.uint8)
        for place, array in zip(places, arrays, strict=True):
            image[place : place + array.nbytes] = array.view(np.uint8)
        return image

    def fused_places(self):
        return [first * NUMPY[self.dtypes[1]].itemsize for first in self.firsts]

    def check_pack(self, scale=1.0, shape=None, stream=0):
        """Pack random values; every byte of the fusion buffer must be as the reference has it."""
        values = self.draw(self.dtypes[0])
        plugin = self.device.plugin
        plugin.put(self.image(self.tensor_bytes, self.offsets, values), self.tensors)
        plugin.put(np.full(self.fused_bytes, POISON, np.uint8), self.fused)
        plugin.call("pack", self.move(scale, shape), stream)
        plugin.call("synchronize_stream", stream)
        want = [moved(each, *self.dtypes, scale) for each in values]
        found = self.device.read(self.fused, self.fused_bytes, np.uint8)
        np.testing.assert_array_equal(
            found, self.image(self.fused_bytes, self.fused_places(), want)
        )

    def check_unpack(self, scale=1.0, shape=None, stream=0):
        """The other way round."""
        values = self.draw(self.dtypes[1])
        plugin = self.device.plugin
        plugin.put(self.image(self.fused_bytes, self.fused_places(), values), self.fused)
        plugin.put(np.full(self.tensor_bytes, POISON, np.uint8), self.tensors)
        plugin.call("unpack", self.move(scale, shape), stream)
        plugin.call("synchronize_stream", stream)
        want = [moved(each, *self.dtypes[::-1], scale) for each in values]
        found = self.device.read(self.tensors, self.tensor_bytes, np.uint8)
        np.testing.assert_array_equal(found, self.image(self.tensor_bytes, self.offsets, want))


def same(dtype):
    return (dtype, dtype)


CASTS = [
    (Dtype.FLOAT32, Dtype.BFLOAT16),
    (Dtype.FLOAT32, Dtype.FLOAT16),
    (Dtype.BFLOAT16, Dtype.FLOAT32),
    (Dtype.FLOAT16, Dtype.FLOAT32),
]
PAIRS = [*(same(dtype) for dtype in Dtype), *CASTS]
