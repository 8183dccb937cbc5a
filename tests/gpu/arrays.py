"""Memory and streams of a device, and arrays there as libraries show theirs to ringsync."""

import numpy as np

from ringsync.device_arrays import describe


class Device:
    """A plug-in whose memory and streams end with the test."""

    def __init__(self, plugin):
        self.plugin = plugin
        self._memory = []
        self._streams = []

    def empty(self, size_bytes):
        memory = self.plugin.allocate(max(size_bytes, 1))
        self._memory.append(memory)
        return memory

    def array(self, values):
        memory = self.empty(values.nbytes)
        if values.nbytes:
            self.plugin.put(values, memory)
        return memory

    def filled(self, size_bytes, byte):
        return self.array(np.full(size_bytes, byte, np.uint8))

    def read(self, memory, count, dtype):
        return self.plugin.get(memory, np.empty(count, dtype))

    def stream(self, **options):
        stream = self.plugin.create_stream(**options)
        self._streams.append(stream)
        return stream

    def keep_memory(self):
        """Release nothing: a copy may be on its way. CUDA waits for it, a simulation does not."""
        self._memory.clear()

    def close(self):
        for stream in self._streams:
            self.plugin.call("destroy_stream", stream)
        for memory in self._memory:
            self.plugin.call("release", memory)


class OnDevice:
    """An array of no library: memory of a plug-in, and what `__cuda_array_interface__` asks for."""

    def __init__(self, device, values, *, stream=None, dtype=None):
        self.device = device
        self.shape = values.shape
        self.bits = values.dtype
        # bfloat16 is held as bits of another type.
        self.dtype = dtype or values.dtype.name
        self.address = device.array(np.ascontiguousarray(values))
        self.stream = stream

    @property
    def __cuda_array_interface__(self):
        return {
            "shape": self.shape,
            "typestr": "<V2" if self.dtype == "bfloat16" else self.bits.str,
            "data": (self.address, False),
            "version": 3,
            "strides": None,
            "stream": self.stream,
        }

    def __dlpack_device__(self):
        return (2, 0)

    def copy(self):
        return OnDevice(self.device, self.get(), stream=self.stream, dtype=self.dtype)

    def get(self):
        return self.device.read(self.address, self.shape, self.bits)


def seen(x):
    """An array as the engine's door takes it."""
    return describe(x, "test")


def values_in(device, result, dtype):
    """The values of a result that some library may have made an array of."""
    facts = result.__cuda_array_interface__
    assert facts["typestr"] in {np.dtype(dtype).str, "<V2"}  # which is bfloat16's, held as bits
    return device.read(facts["data"][0], facts["shape"], dtype)
