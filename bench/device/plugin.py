"""A device plug-in as Python objects: every status that is no success is raised.

Addresses are plain integers, as kernels and other libraries' arrays have them. Nothing is kept
alive and nothing waits that the header does not say waits.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np

from bench.device.abi import (
    ABI,
    FUNCTIONS,
    MOST_PEERS,
    DeviceFacts,
    Dtype,
    MemoryHandle,
    Move,
    Segment,
    Shape,
    Status,
    Sum,
    Table,
)

# Where to look for plug-ins first, in place of the installed package.
PLACE = "DEVICE_PLUGINS"

# For CUDA, which reads it once it is first used: of two streams that share a queue, one that waits
# for a flag holds up the other, which may be the one to write it.
_QUEUES = ("CUDA_DEVICE_MAX_CONNECTIONS", "32")

# Between two looks at an event; a step of the ring takes no less.
_LOOK_S = 20e-6

Array = np.ndarray[Any, Any]


class PluginError(RuntimeError):
    """A call failed.

    Attributes:
        status: What it returned.
    """

    def __init__(self, call: str, status: int, text: str) -> None:
        """Make one from what `describe` says."""
        super().__init__(f"[{call}] {text}")
        self.status = status


def find_plugin(kind: str) -> Path:
    """Find the file of a plug-in.

    Args:
        kind: `cuda` or `hostsim`.

    Returns:
        The file in the folder that PLACE names, else beside the native core.

    Raises:
        FileNotFoundError: It was not built.
    """
    name = f"libringsync_{kind}.so"
    place = os.environ.get(PLACE)
    path = Path(place) / name if place else _installed() / name
    if not path.exists():
        raise FileNotFoundError(f"[plugin] {path} does not exist. Build it: docs/gpu.md says how.")
    return path


def _installed() -> Path:
    return Path(str(distribution("ringsync").locate_file("ringsync")))


class Plugin:
    """A loaded plug-in. Any thread; a stream of 0 is the default stream.

    Attributes:
        kind: `cuda` or `hostsim`.
    """

    def __init__(self, path: Path) -> None:
        """Load it.

        Args:
            path: Its file.

        Raises:
            OSError: It cannot be loaded.
            ValueError: It is of another version.
        """
        os.environ.setdefault(*_QUEUES)
        self._library = ctypes.CDLL(str(path))
        find = self._library.rs_device_api
        find.restype = ctypes.POINTER(Table)
        self._table = find().contents
        if (self._table.abi, self._table.table_bytes) != (ABI, ctypes.sizeof(Table)):
            raise ValueError(f"[plugin] {path} has ABI {self._table.abi}; expected {ABI}. Rebuild.")
        self.kind = self._table.kind.decode()
        # To read a field makes a function object anew, which takes as long as a launch.
        self._functions = {name: getattr(self._table, name) for name, _ in FUNCTIONS}

    def describe(self, status: int) -> str:
        """Put a status into words."""
        text = ctypes.create_string_buffer(512)
        self._table.describe(status, ctypes.addressof(text), len(text))
        return text.value.decode()

    def call(self, name: str, *arguments: object) -> None:
        """Call a function of the table.

        Args:
            name: Of the function.
            arguments: As the header lists them.

        Raises:
            PluginError: Its status is no success.
        """
        status = self._functions[name](*arguments)
        if status != Status.OK:
            raise PluginError(name, status, self.describe(status))

    def count_devices(self) -> tuple[int, str]:
        """Count devices.

        Returns:
            How many, and why there is none.
        """
        count = ctypes.c_int32()
        status = self._table.count_devices(ctypes.byref(count))
        return count.value, "" if status == Status.OK else self.describe(status)

    def look_at_device(self, device: int = 0) -> DeviceFacts:
        """Ask for a device's facts."""
        facts = DeviceFacts()
        self.call("look_at_device", device, ctypes.byref(facts))
        return facts

    def allocate(self, size_bytes: int, call: str = "allocate") -> int:
        """Allocate memory of the device, or of the host by `allocate_pinned`."""
        return self._made(call, size_bytes)

    def create_stream(self, *, is_urgent: bool = False) -> int:
        """Make a stream."""
        return self._made("create_stream", int(is_urgent))

    def create_event(self, *, is_timed: bool = False) -> int:
        """Make an event."""
        return self._made("create_event", int(is_timed))

    def end_graph(self, stream: int) -> int:
        """Make a graph of what the stream was given since `begin_graph`."""
        return self._made("end_graph", stream)

    def _made(self, call: str, argument: int) -> int:
        made = ctypes.c_void_p()
        self.call(call, argument, ctypes.byref(made))
        return made.value or 0

    def is_reached(self, event: int) -> bool:
        """Ask whether an event has been reached."""
        reached = ctypes.c_int32()
        self.call("query_event", event, ctypes.byref(reached))
        return reached.value != 0

    def elapsed_ms(self, start: int, end: int) -> float:
        """Time between two timed events."""
        value = ctypes.c_float()
        self.call("elapsed_ms", start, end, ctypes.byref(value))
        return value.value

    def wait_until(self, event: int, limit_s: float) -> None:
        """Wait for an event on the host.

        Args:
            event: Recorded.
            limit_s: From now on.

        Raises:
            TimeoutError: It was not reached in time.
        """
        end_s = time.monotonic() + limit_s
        while not self.is_reached(event):
            if time.monotonic() > end_s:
                raise TimeoutError(f"[wait] not reached within {limit_s} s. Look at the peers.")
            time.sleep(_LOOK_S)

    def export_memory(self, memory: int) -> bytes:
        """Name memory to other processes."""
        handle = MemoryHandle()
        self.call("export_memory", memory, ctypes.byref(handle))
        return bytes(handle.bytes)

    def open_memory(self, name: bytes) -> int:
        """Open memory of another process."""
        handle, made = MemoryHandle.from_buffer_copy(name), ctypes.c_void_p()
        self.call("open_memory", ctypes.byref(handle), ctypes.byref(made))
        return made.value or 0

    def signal(self, flags: Sequence[int], value: int, stream: int, *, unless: int = 0) -> None:
        """Write flags in stream order; none if the word at address `unless` is not 0."""
        words = (ctypes.c_void_p * len(flags))(*flags)
        self.call("signal", words, len(flags), value & 0xFFFFFFFF, unless, stream)

    def wait_flag(self, flag: int, value: int, stream: int) -> None:
        """Let a stream wait for a flag."""
        self.call("wait_flag", flag, value & 0xFFFFFFFF, stream)

    def put(self, array: Array, memory: int) -> None:
        """Copy an array to the device and wait."""
        self._copy_now(memory, array.ctypes.data, array.nbytes)

    def get(self, memory: int, array: Array) -> Array:
        """Copy into an array from the device and wait; return it."""
        self._copy_now(array.ctypes.data, memory, array.nbytes)
        return array

    def _copy_now(self, to: int, source: int, size_bytes: int) -> None:
        self.call("copy", to, source, size_bytes, 0)
        self.call("synchronize_stream", 0)

    def prepared(self, name: str, structure: Move | Sum) -> Callable[[int], None]:
        """Bind a call that is made again and again.

        Args:
            name: `pack`, `unpack` or `sum_peers`.
            structure: Its argument; kept.

        Returns:
            A function of the stream.
        """
        function, reference = self._functions[name], ctypes.byref(structure)

        def call(stream: int) -> None:
            if function(reference, stream) != Status.OK:
                self.call(name, reference, stream)

        return call


def make_table(segments: Sequence[tuple[int, int, int]]) -> ctypes.Array[Segment]:
    """Make a segment table.

    Args:
        segments: Address, first element and count of each.

    Returns:
        The table in host memory.
    """
    return (Segment * len(segments))(*(Segment(*segment) for segment in segments))


def make_move(
    table: ctypes.Array[Segment],
    fused: int,
    elements: int,
    dtypes: tuple[Dtype, Dtype],
    *,
    scale: float = 1.0,
    shape: Shape | None = None,
) -> Move:
    """Make the argument of `pack` and `unpack`.

    Args:
        table: In host memory, and kept by the caller.
        fused: The fusion buffer.
        elements: Its length.
        dtypes: Of the tensors, and of the fusion buffer.
        scale: Factor.
        shape: How to cut the launch.

    Returns:
        The structure.
    """
    return Move(
        ctypes.addressof(table),
        len(table),
        0,
        fused,
        elements,
        *dtypes,
        scale,
        shape or Shape(),
    )


def make_sum(
    destination: int,
    sources: Sequence[int],
    count: int,
    dtype: Dtype,
    *,
    scale: float = 1.0,
    shape: Shape | None = None,
) -> Sum:
    """Make the argument of `sum_peers`.

    Args:
        destination: Where the sum goes.
        sources: What is added, in order.
        count: Elements.
        dtype: Of all.
        scale: Factor.
        shape: How to cut the launch.

    Returns:
        The structure.
    """
    array = (ctypes.c_void_p * MOST_PEERS)(*sources[:MOST_PEERS])
    return Sum(destination, array, len(sources), dtype, count, scale, shape or Shape())
