"""Functions, arguments, results and exceptions as bytes, and one clear error for what is none.

Functions of a script or a notebook cell travel by value, which the standard pickle cannot do.
"""

from __future__ import annotations

import functools
import io
import json
import linecache
import os
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any, BinaryIO

from ringsync.errors import ConfigError
from ringsync.words import error_in_line, kind_of


@dataclass(frozen=True, slots=True)
class Call:
    """What every rank does.

    Attributes:
        fn: The function.
        args: Its arguments by position.
        kwargs: Its arguments by name.
    """

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def write_call(call: Call, file: BinaryIO) -> None:
    """Write a call, and what of the caller's surroundings the ranks share.

    Args:
        call: The call.
        file: Where to.

    Raises:
        ConfigError: Part of it cannot be pickled; the message says which part and why.
    """
    surroundings = {"argv": [str(word) for word in sys.argv], "sources": _sources()}
    file.write(json.dumps(surroundings).encode("ascii") + b"\n")
    try:
        dump((call.fn, call.args, call.kwargs), file)
    except ConfigError:
        raise
    except Exception as error:  # objects decide themselves what their pickling raises
        raise ConfigError(
            f"[run] {_guilty_part(call)} cannot be pickled, so it cannot be sent to the ranks: "
            f"{error_in_line(error)}. Make it inside the function, on every rank."
        ) from error


def read_call(file: BinaryIO) -> Call:
    """Read what `write_call` wrote, and take over the caller's command line and sources.

    Args:
        file: What was written.

    Returns:
        The call.

    Raises:
        ConfigError: It cannot be made here.
    """
    surroundings = json.loads(file.readline())
    sys.argv = surroundings["argv"]
    for name, lines in surroundings["sources"].items():
        linecache.cache[name] = (sum(map(len, lines)), None, lines, name)
    try:
        return Call(*pickle.load(file))
    except Exception as error:  # making an object again runs code of its own
        raise ConfigError(
            f"[run] the function or its arguments cannot be unpickled on a rank: "
            f"{error_in_line(error)}. Import on the caller's side only what the ranks can import."
        ) from error


def write_result(result: object, file: BinaryIO, who: str) -> None:
    """Write what a function returned.

    Args:
        result: Any object.
        file: Where to.
        who: The rank, as messages name it.

    Raises:
        ConfigError: It cannot be pickled.
    """
    try:
        dump(result, file)
    except Exception as error:  # objects decide themselves what their pickling raises
        raise ConfigError(
            f"[run] {who} returned {kind_of(result)}, which cannot be pickled, so not "
            f"sent back: {error_in_line(error)}. Return numbers, arrays, text, or lists of them."
        ) from error


def read_result(file: BinaryIO, who: str) -> object:
    """Read what `write_result` wrote.

    Args:
        file: What was written.
        who: The rank that wrote it.

    Returns:
        The result.

    Raises:
        ConfigError: It cannot be made here.
    """
    try:
        return pickle.load(file)
    except Exception as error:  # making an object again runs code of its own
        raise ConfigError(
            f"[run] what {who} returned cannot be unpickled here: {error_in_line(error)}. Return "
            "objects of types that the caller can import."
        ) from error


def dump(value: object, file: BinaryIO) -> None:
    """Pickle by value what cannot be imported.

    Args:
        value: Any object.
        file: Where to.

    Raises:
        ConfigError: cloudpickle is not installed.
    """
    _pickler()(file).dump(value)


@functools.cache
def _pickler() -> type[pickle.Pickler]:
    # Late: nothing but `run` needs it, and every rank imports this package.
    try:
        import cloudpickle  # type: ignore[import-untyped]  # noqa: PLC0415 - it ships no annotations
    except ImportError as error:
        raise ConfigError(
            "[run] cloudpickle is not installed, and functions of scripts and notebooks cannot "
            "travel without it. Run: pip install cloudpickle."
        ) from error

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # without annotations it is Any
        """Keeps the names of files in functions, which cloudpickle drops; tracebacks show them."""

        def reducer_override(self, obj: object) -> object:
            """Describe how `obj` is made again."""
            if isinstance(obj, CodeType):
                make, parts = self.dispatch_table[CodeType](obj)
                return _make_code, (make, parts, obj.co_filename)
            return super().reducer_override(obj)

    return Pickler


def _make_code(make: Callable[..., CodeType], parts: tuple[Any, ...], file_name: str) -> CodeType:
    return make(*parts).replace(co_filename=file_name)


def _guilty_part(call: Call) -> str:
    """Name what cannot be pickled; the function is named where all else can."""
    parts = [(f"argument {i + 1}", value) for i, value in enumerate(call.args)]
    parts += [(f"argument {name!r}", value) for name, value in call.kwargs.items()]
    for name, value in parts:
        try:
            dump(value, io.BytesIO())
        except Exception:  # objects decide themselves what their pickling raises
            return f"{name}, {kind_of(value)},"
    return f"the function {getattr(call.fn, '__qualname__', call.fn)!r}, or what it refers to,"


def _sources() -> dict[str, list[str]]:
    """The lines of notebook cells, which are in no file, so that tracebacks can show them."""
    return {
        name: entry[2]
        for name, entry in list(linecache.cache.items())
        if len(entry) == 4  # noqa: PLR2004 - size, time, lines, full name; a lazy entry is shorter
        and entry[1] is None
        and not os.path.exists(name)  # noqa: PTH110 - pathlib raises at a name too long for files
    }
