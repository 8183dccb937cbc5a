"""Torch's tensors on a device: CUDA's on a GPU, and elsewhere in the simulated device's memory.

Torch takes the latter for tensors of the host, and would compute the next ones there. So these are
moved as they come: what is computed of a tensor on a device lies there, too, as on CUDA.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
import weakref
from collections import defaultdict

import cloudpickle
import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

import ringsync.torch as hvd
from ringsync.torch import devices

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

HEAP_BYTES = 2**25
LEAST_BYTES = 256


class Cuda:
    """The GPU of this rank; ranks share it where there is one only."""

    def __init__(self):
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())

    def there(self, tensor):
        return tensor.cuda()

    def is_there(self, tensor):
        return tensor.is_cuda


class Stream:
    """One of torch's; in the simulation, in which torch's own work is done at once, a name."""

    def __init__(self, stream=0):
        self.cuda_stream = stream
        self.waited_for = []

    def wait_stream(self, stream):
        self.waited_for.append(stream)


class Simulated(TorchDispatchMode):
    """Memory of the simulated device, cut as torch's own allocator cuts that of a GPU.

    What is freed is handed out again at once, whoever may still be reading it.
    """

    def __init__(self):
        super().__init__()
        os.environ["RINGSYNC_DEVICE_PLUGIN"] = "hostsim"
        plugins = importlib.import_module("bench.device.plugin")  # ctypes' types do not travel
        self.plugin = plugins.Plugin(plugins.find_plugin("hostsim"))
        self.heap = self.plugin.allocate(HEAP_BYTES)
        self.used_bytes = 0
        self.free = defaultdict(list)  # addresses by size
        self.results = {}  # of collectives, which lie elsewhere: ends by beginning
        self.stream = Stream()
        devices.kind_of = lambda x: "cuda" if self.is_there(x) else x.device.type
        devices.current_stream = lambda _: self.stream
        devices.tensor_of = self.tensor_of
        self.__enter__()

    def there(self, tensor):
        """A copy on the device."""
        with torch.no_grad():
            moved = self._moved(tensor.detach())
        return moved.requires_grad_(tensor.requires_grad)

    def is_there(self, tensor):
        if tensor.layout is not torch.strided:
            tensor = tensor._values()
        address = tensor.untyped_storage().data_ptr()
        is_in_heap = self.heap <= address < self.heap + HEAP_BYTES
        return is_in_heap or any(a <= address < end for a, end in self.results.items())

    def tensor_of(self, memory, like):
        facts = memory.__cuda_array_interface__
        shape, (address, _) = facts["shape"], facts["data"]
        if 0 in shape:
            return like.new_empty(shape)
        size_bytes = int(np.prod(shape)) * like.element_size()
        self.results[address] = address + size_bytes
        flat = self._flat(address, size_bytes, lambda: (memory, self.results.pop(address)))
        return flat.view(like.dtype).reshape(shape)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        del types
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        if not any(map(self.is_there, given)):
            return result
        kept = {_place_of(x) for x in given}  # what is written in place stays where it is
        return tree_map(lambda x: x if _place_of(x) in kept else self._moved(x), result)

    def _moved(self, x):
        if not isinstance(x, torch.Tensor) or x.is_meta or self.is_there(x):
            return x
        if x.layout is torch.sparse_coo:
            parts = self._moved(x._indices()), self._moved(x._values())
            moved = torch.sparse_coo_tensor(*parts, x.shape, check_invariants=False)
            return moved._coalesced_(x.is_coalesced())
        extent = 1 + sum((n - 1) * s for n, s in zip(x.shape, x.stride(), strict=True))
        size_bytes = max(LEAST_BYTES, extent * x.element_size())
        size_bytes = 1 << (size_bytes - 1).bit_length()
        address = self._allocate(size_bytes)
        flat = self._flat(address, size_bytes, lambda: self.free[size_bytes].append(address))
        return flat.view(x.dtype).as_strided(x.shape, x.stride()).copy_(x)

    def _allocate(self, size_bytes):
        if self.free[size_bytes]:
            return self.free[size_bytes].pop()
        address = self.heap + self.used_bytes
        self.used_bytes += size_bytes
        assert self.used_bytes <= HEAP_BYTES, "the simulated device is full"
        return address

    @staticmethod
    def _flat(address, size_bytes, freed):
        memory = (ctypes.c_uint8 * size_bytes).from_address(address)
        weakref.finalize(memory, freed).atexit = False
        return torch.from_numpy(np.frombuffer(memory, np.uint8))


def _place_of(x):
    is_plain = isinstance(x, torch.Tensor) and x.layout is torch.strided
    return x.untyped_storage().data_ptr() if is_plain else id(x)


KINDS = {"hostsim": Simulated, "cuda": Cuda}


def on_device(kind, work, *arguments):
    """What a rank runs: `work` is given the device, and ringsync is started."""
    device = KINDS[kind]()
    hvd.init()
    return work(device, *arguments)
