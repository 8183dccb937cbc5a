"""Communicators of the fake NCCL as somebody else has them, whose calls wait: CuPy's are such."""

import ctypes
import sys
from types import ModuleType

import numpy as np

from bench.device.plugin import Plugin, find_plugin

# NCCL's own numbers.
FLOAT32, SUM = 7, 0


class UniqueId(ctypes.Structure):
    _fields_ = (("internal", ctypes.c_byte * 128),)


class Owner:
    """Makes communicators by one copy of the library."""

    def __init__(self, file=""):
        self.file = str(file or find_plugin("fake_nccl"))
        self._library = ctypes.CDLL(self.file)

    def make_id(self):
        unique_id = UniqueId()
        self.call("ncclGetUniqueId", ctypes.byref(unique_id))
        return bytes(unique_id)

    def call(self, name, *arguments):
        result = self._library[name](*arguments)
        assert result == 0, f"{name}: {result}"

    def join(self, size, unique_id, rank):
        """What CuPy's NcclCommunicator(size, unique_id, rank) is; waits for the others."""
        communicator = ctypes.c_void_p()
        made_of = UniqueId.from_buffer_copy(unique_id)
        self.call("ncclCommInitRank", ctypes.byref(communicator), size, made_of, rank)
        return Communicator(self, communicator)


class Communicator:
    """What is used of CuPy's, and enough to see that it works for who has it."""

    def __init__(self, owner, communicator):
        self._owner = owner
        self._communicator = communicator

    @property
    def comm(self):
        return self._communicator.value or 0

    def sum(self, values):
        """The sum of all ranks' values. Memory is NumPy's, as the simulated device has no other."""
        plugin = Plugin(find_plugin("hostsim"))
        stream = plugin.create_stream()
        result = np.zeros_like(values)
        ends = (ctypes.c_void_p(array.ctypes.data) for array in (values, result))
        count = ctypes.c_size_t(values.size)
        self._owner.call(
            "ncclAllReduce", *ends, count, FLOAT32, SUM, self._communicator, ctypes.c_void_p(stream)
        )
        plugin.call("synchronize_stream", stream)
        plugin.call("destroy_stream", stream)
        return result

    def destroy(self):
        self._end("ncclCommDestroy")

    def abort(self):
        """Whatever still waits in it ends."""
        self._end("ncclCommAbort")

    def _end(self, name):
        self._owner.call(name, self._communicator)
        self._communicator = ctypes.c_void_p()


# As the extension of CuPy's that has the class, and that calls NCCL.
EXTENSION = ModuleType("fake_nccl_extension")
EXTENSION.__file__ = str(find_plugin("fake_nccl"))
sys.modules[EXTENSION.__name__] = EXTENSION
Communicator.__module__ = EXTENSION.__name__
