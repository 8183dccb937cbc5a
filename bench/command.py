"""What the benches' command lines have in common: options, usage errors, exit codes.

It starts no rank; that is world.py.
"""

from __future__ import annotations

import argparse
import errno
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from bench.units import parse_size

_USAGE_ERROR = 2
# A full disk, a full quota, a disk that fails.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
_ITEM_BYTES = 4  # float32
MEMORIES = ("private", "registered")


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line each."""

    def error(self, message: str) -> NoReturn:
        """Leave with one line on stderr and exit code 2.

        Args:
            message: What is wrong.

        Raises:
            SystemExit: Always.
        """
        sys.stderr.write(f"[{self.prog}] {message}. See python -m {self.prog} --help.\n")
        raise SystemExit(_USAGE_ERROR)


def make_parser(name: str, description: str) -> Parser:
    """Begin a command line with the options of every bench.

    Args:
        name: The bench's module, for example `bench.allreduce`.
        description: What it measures.

    Returns:
        A parser with --np and --json.
    """
    parser = Parser(
        prog=name, usage=f"python -m {name} [options]", description=description, allow_abbrev=False
    )
    parser.add_argument("--np", type=whole, default=2, metavar="N", help="ranks (2)")
    parser.add_argument(
        "--json", type=_writable, metavar="FILE", help="write pytest-benchmark's JSON here"
    )
    return parser


def add_ceilings(parser: argparse.ArgumentParser) -> None:
    """Add the option that measures what no library can do better.

    Args:
        parser: The command line.
    """
    parser.add_argument(
        "--ceilings", action="store_true", help="measure what the machine allows, too, in turn"
    )


def add_memory(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the option that says where arrays lie.

    Args:
        parser: The command line.
        default: Value when it is not given.
    """
    parser.add_argument(
        "--memory",
        type=memories,
        default=memories(default),
        metavar="KINDS",
        help=f"private: NumPy's own; registered: rs.empty's ({default})",
    )


def memories(text: str) -> tuple[str, ...]:
    """Read kinds of memory.

    Args:
        text: `private`, `registered`, both with a comma between, or `both`.

    Returns:
        The kinds of memory to measure.

    Raises:
        ArgumentTypeError: One of them is no kind of memory.
    """
    return MEMORIES if text == "both" else names(text, MEMORIES)


def add_peers(parser: argparse.ArgumentParser, known: Sequence[str]) -> None:
    """Add the options that let other libraries take part.

    Args:
        parser: The command line.
        known: Their names.
    """
    parser.add_argument(
        "--peers",
        type=lambda text: names(text, known),
        default=(),
        metavar="NAMES",
        help=f"measure these, too, in turn: {','.join(known)}",
    )
    parser.add_argument(
        "--peer-python",
        default=sys.executable,
        metavar="PATH",
        help="interpreter that has the peers; {} in it becomes the peer's name",
    )
    parser.add_argument("--rounds", type=whole, default=3, metavar="N", help="turns of each (3)")
    parser.add_argument("--markdown", action="store_true", help="tables for a document")


def run_command(measure: Callable[[Sequence[str]], int]) -> NoReturn:
    """Run a bench as a program.

    Args:
        measure: From the command line's words to an exit code.

    Raises:
        SystemExit: Always; 130 after Ctrl-C, 141 where nobody reads any more, 74 where what was
            found cannot be written.
    """
    try:
        status = measure(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except BrokenPipeError:
        _silence_stdout()
        status = 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        _silence_stdout()
        sys.stderr.write(f"[bench] what was found cannot be written: {error}. Make room for it.\n")
        status = os.EX_IOERR
    raise SystemExit(status)


def _silence_stdout() -> None:
    """Else the interpreter would complain while it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def whole(text: str) -> int:
    """Read a whole number from 1.

    Args:
        text: Digits.

    Returns:
        The number.

    Raises:
        ArgumentTypeError: It is none.
    """
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def positive(text: str) -> float:
    """Read a number above 0.

    Args:
        text: A decimal number.

    Returns:
        The number.

    Raises:
        ArgumentTypeError: It is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def sizes(text: str) -> tuple[int, ...]:
    """Read sizes of float32 arrays.

    Args:
        text: For example `4,1KiB,64MiB`.

    Returns:
        Bytes, each a positive multiple of 4.

    Raises:
        ArgumentTypeError: One of them is no such size.
    """
    try:
        found = tuple(parse_size(word) for word in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    wrong = [size for size in found if size < _ITEM_BYTES or size % _ITEM_BYTES]
    if wrong:
        raise argparse.ArgumentTypeError(
            f"{wrong[0]} bytes are no float32 array; a multiple of {_ITEM_BYTES} is expected"
        )
    return found


def names(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Read names.

    Args:
        text: With commas between.
        known: All that there are.

    Returns:
        The names.

    Raises:
        ArgumentTypeError: One of them is not known.
    """
    found = tuple(text.split(","))
    for name in found:
        if name not in known:
            raise argparse.ArgumentTypeError(
                f"invalid choice: {name!r}; any of {', '.join(known)} is expected"
            )
    return found


def _writable(text: str) -> Path:
    """Refuse at once what could not be written after a long run."""
    path = Path(text)
    place = path if path.exists() else path.parent
    if path.is_dir() or not os.access(place, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written; name a file that can")
    return path
