"""Memory through which a call goes to the ranks and what they return comes back.

It has no name that others could open, is inherited by the processes of the job alone, and is gone
with the last of them, however they end. What is in it, others know.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from ringsync.errors import ConfigError

_FIRST_FREE = 3  # after stdin, stdout and stderr
_UNFINISHED = b"\0"  # stands first until all the rest is written


@contextlib.contextmanager
def channels(count: int) -> Iterator[tuple[int, ...]]:
    """Open that many channels, and close them again.

    Args:
        count: How many.

    Yields:
        Their descriptors; a child inherits those that it is given.

    Raises:
        ConfigError: The system has no room for them.
    """
    with contextlib.ExitStack() as opened:
        try:
            numbers = [_open(opened) for _ in range(count)]
        except OSError as error:
            raise ConfigError(
                f"[run] {count} descriptors are needed, two more than ranks, and cannot be had: "
                f"{error.strerror}. Run fewer ranks, or raise the limit of open files (ulimit -n)."
            ) from error
        yield tuple(numbers)


def write_message(descriptor: int, kind: bytes, fill: Callable[[BinaryIO], object]) -> None:
    """Write a message; half a message, of a writer that was killed, counts as none.

    Args:
        descriptor: Of a channel. What was in it is replaced.
        kind: One byte.
        fill: Writes the rest.
    """
    with open(descriptor, "wb", closefd=False) as file:
        file.seek(0)
        file.truncate(0)
        file.write(_UNFINISHED)
        fill(file)
        file.seek(0)
        file.write(kind)


@contextlib.contextmanager
def read_message(descriptor: int) -> Iterator[tuple[bytes, BinaryIO]]:
    """Read what `write_message` wrote, from its beginning, whoever else reads it at the time.

    Args:
        descriptor: Of a channel.

    Yields:
        The kind, b"" if there is no message, and a file that gives the rest.
    """
    # Not by the descriptor itself: all who inherit it share one position in it.
    with Path(f"/proc/self/fd/{descriptor}").open("rb") as file:
        kind = file.read(1)
        yield b"" if kind == _UNFINISHED else kind, file


def _open(opened: contextlib.ExitStack) -> int:
    made = os.memfd_create("ringsync-run", os.MFD_CLOEXEC)
    try:
        # Not one of the first three, which are closed here perhaps: a child has streams there.
        descriptor = fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    finally:
        os.close(made)
    opened.callback(os.close, descriptor)
    return descriptor
