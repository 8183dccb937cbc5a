"""The structures and the table of native/device/plugin_abi.h for ctypes, field by field.

tests/gpu compares the numbers with the header; who calls what is plugin.py's matter.
"""

from __future__ import annotations

import ctypes
from ctypes import (
    POINTER,
    c_char,
    c_double,
    c_float,
    c_int32,
    c_uint8,
    c_uint32,
    c_uint64,
    c_void_p,
)
from enum import IntEnum
from typing import ClassVar

ABI = 6
MOST_SEGMENTS = 1360
MOST_PEERS = 16


class Status(IntEnum):
    """What the plug-in itself answers; above 0 are errors of the library below it."""

    OK = 0
    NO_DRIVER = -1
    DRIVER_TOO_OLD = -2
    NO_DEVICE = -3
    BAD_ARGUMENT = -4
    BAD_TYPES = -5
    BAD_SEGMENTS = -6
    TOO_LARGE = -7
    NOT_A_BASE = -8
    OWN_MEMORY = -9
    NO_STREAM_WAITS = -10
    ABANDONED = -11
    UNEXPECTED = -12
    NO_MEMORY = -13


class Dtype(IntEnum):
    """Element types that kernels know."""

    INT32 = 1
    INT64 = 2
    FLOAT32 = 3
    FLOAT64 = 4
    FLOAT16 = 7
    BFLOAT16 = 9


class DeviceFacts(ctypes.Structure):
    """RsDeviceFacts."""

    _fields_: ClassVar = [
        ("name", c_char * 256),
        ("memory_bytes", c_uint64),
        ("multiprocessors", c_int32),
        ("compute_major", c_int32),
        ("compute_minor", c_int32),
        ("library_version", c_int32),
        ("driver_version", c_int32),
        ("can_export_memory", c_int32),
        ("waits_on_release", c_int32),
        ("uuid", c_uint8 * 16),
    ]


class Segment(ctypes.Structure):
    """RsSegment."""

    _fields_: ClassVar = [("tensor", c_void_p), ("first", c_uint32), ("count", c_uint32)]


class Shape(ctypes.Structure):
    """RsShape."""

    _fields_: ClassVar = [
        ("block_threads", c_uint32),
        ("team_threads", c_uint32),
        ("span_bytes", c_uint32),
        ("most_blocks", c_uint32),
    ]


class Move(ctypes.Structure):
    """RsMove."""

    _fields_: ClassVar = [
        ("segments", c_void_p),
        ("segment_count", c_uint32),
        ("is_table_on_device", c_uint32),
        ("fused", c_void_p),
        ("fused_elements", c_uint64),
        ("tensor_dtype", c_uint32),
        ("fused_dtype", c_uint32),
        ("scale", c_double),
        ("shape", Shape),
    ]


class Sum(ctypes.Structure):
    """RsSum."""

    _fields_: ClassVar = [
        ("destination", c_void_p),
        ("sources", c_void_p * MOST_PEERS),
        ("source_count", c_uint32),
        ("dtype", c_uint32),
        ("count", c_uint64),
        ("scale", c_double),
        ("shape", Shape),
    ]


class MemoryHandle(ctypes.Structure):
    """RsMemoryHandle."""

    _fields_: ClassVar = [("bytes", ctypes.c_ubyte * 64)]


# In the table's order: name and arguments.
FUNCTIONS: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("describe", (c_int32, c_void_p, c_uint64)),
    ("count_devices", (POINTER(c_int32),)),
    ("look_at_device", (c_int32, POINTER(DeviceFacts))),
    ("use_device", (c_int32,)),
    ("device_in_use", (POINTER(c_int32),)),
    ("allocate", (c_uint64, POINTER(c_void_p))),
    ("release", (c_void_p,)),
    ("allocate_pinned", (c_uint64, POINTER(c_void_p))),
    ("release_pinned", (c_void_p,)),
    ("pin", (c_void_p, c_uint64)),
    ("unpin", (c_void_p,)),
    ("look_at_memory", (c_void_p, POINTER(c_int32))),
    ("copy", (c_void_p, c_void_p, c_uint64, c_void_p)),
    ("fill", (c_void_p, c_uint32, c_uint64, c_void_p)),
    ("create_stream", (c_int32, POINTER(c_void_p))),
    ("destroy_stream", (c_void_p,)),
    ("synchronize_stream", (c_void_p,)),
    ("create_event", (c_int32, POINTER(c_void_p))),
    ("destroy_event", (c_void_p,)),
    ("record_event", (c_void_p, c_void_p)),
    ("wait_event", (c_void_p, c_void_p)),
    ("notify", (c_void_p, c_void_p, c_void_p)),
    ("query_event", (c_void_p, POINTER(c_int32))),
    ("elapsed_ms", (c_void_p, c_void_p, POINTER(c_float))),
    ("export_memory", (c_void_p, POINTER(MemoryHandle))),
    ("open_memory", (POINTER(MemoryHandle), POINTER(c_void_p))),
    ("close_memory", (c_void_p,)),
    ("signal", (POINTER(c_void_p), c_uint32, c_uint32, c_void_p, c_void_p)),
    ("wait_flag", (c_void_p, c_uint32, c_void_p)),
    ("pack", (POINTER(Move), c_void_p)),
    ("unpack", (POINTER(Move), c_void_p)),
    ("sum_peers", (POINTER(Sum), c_void_p)),
    ("begin_graph", (c_void_p,)),
    ("end_graph", (c_void_p, POINTER(c_void_p))),
    ("launch_graph", (c_void_p, c_void_p)),
    ("destroy_graph", (c_void_p,)),
    ("range_begin", (ctypes.c_char_p,)),
    ("range_end", ()),
)


class Table(ctypes.Structure):
    """RsDeviceApi."""

    _fields_: ClassVar = [
        ("abi", c_uint32),
        ("table_bytes", c_uint32),
        ("kind", ctypes.c_char_p),
        *((name, ctypes.CFUNCTYPE(c_int32, *arguments)) for name, arguments in FUNCTIONS),
    ]
