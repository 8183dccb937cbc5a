"""Starts one program in a session of its own, tied to the life of this process.

What subprocess does as well; but a guard would take a quarter longer to start, just to import it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple, NoReturn, cast

from ringsync.launch.codes import CANNOT_EXECUTE
from ringsync.launch.descendants import die_with_parent


class Executed(NamedTuple):
    """A program that was started.

    Attributes:
        pid: Its process id; it is not reaped here.
        stdout: Read end of a non-blocking pipe.
        stderr: Likewise.
    """

    pid: int
    stdout: BinaryIO
    stderr: BinaryIO


def execute(command: Sequence[str]) -> Executed:
    """Start a program; this process must have no threads.

    Args:
        command: Its argument vector; found on PATH.

    Returns:
        The process. Its standard input is empty; other descriptors are inherited as they are,
        since another launcher may have left one for the program.

    Raises:
        OSError: It cannot be executed.
    """
    tie = die_with_parent(os.getpid())  # before the fork, since it loads a library
    out, err, failure = os.pipe(), os.pipe(), os.pipe()  # all closed by exec
    pid = os.fork()
    if pid == 0:
        try:
            tie()
            _become(command, out[1], err[1])
        except OSError as error:
            os.write(failure[1], str(error.errno).encode())
        finally:
            os._exit(CANNOT_EXECUTE)
    for _, end in (out, err, failure):
        os.close(end)
    with os.fdopen(failure[0]) as told:
        number = told.read()
    if number:
        os.waitpid(pid, 0)
        raise OSError(int(number), os.strerror(int(number)))
    return Executed(pid, _reader(out[0]), _reader(err[0]))


def _become(command: Sequence[str], out: int, err: int) -> NoReturn:
    os.setsid()
    empty = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((empty, out, err)):
        os.dup2(descriptor, number)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, for itself
        signal.signal(ignored, signal.SIG_DFL)
    os.execvp(command[0], list(command))


def _reader(descriptor: int) -> BinaryIO:
    os.set_blocking(descriptor, False)
    return cast(BinaryIO, os.fdopen(descriptor, "rb", buffering=0))
