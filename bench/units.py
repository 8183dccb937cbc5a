"""Sizes and rates as they are written: KiB = 2^10 bytes, MiB = 2^20, GB/s = 10^9 bytes/s.

Nothing is measured here.
"""

from __future__ import annotations

import re

_FACTORS = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SIZE = re.compile(r"(\d+) ?(B|KiB|MiB|GiB)?", re.ASCII)
_BYTES_PER_GB = 1e9


def parse_size(text: str) -> int:
    """Read a size such as `4`, `1KiB` or `64MiB`.

    Args:
        text: A whole number, and B, KiB, MiB or GiB if any.

    Returns:
        Bytes.

    Raises:
        ValueError: It is not written like that.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size; a whole number with B, KiB, MiB or GiB is expected")
    return int(match[1]) * _FACTORS[match[2] or ""]


def format_size(size_bytes: int) -> str:
    """Write a size with the largest unit that divides it.

    Args:
        size_bytes: Bytes.

    Returns:
        What `parse_size` reads.
    """
    units = [unit for unit, factor in _FACTORS.items() if unit and size_bytes % factor == 0]
    unit = units[-1] if size_bytes else "B"
    return f"{size_bytes // _FACTORS[unit]}{unit}"


def algorithm_bandwidth(size_bytes: int, time_s: float) -> float:
    """Bytes of the buffer by time.

    Args:
        size_bytes: Of the buffer of one rank.
        time_s: Of one call.

    Returns:
        GB/s.
    """
    return size_bytes / time_s / _BYTES_PER_GB


def allreduce_bus_factor(size: int) -> float:
    """What turns an allreduce's algorithm bandwidth into bus bandwidth.

    Args:
        size: Number of ranks.

    Returns:
        2(n-1)/n: the traffic per rank that no algorithm can do without, in units of the buffer.

    Source: nccl-tests, doc/PERFORMANCE.md.
    """
    return 2 * (size - 1) / size
