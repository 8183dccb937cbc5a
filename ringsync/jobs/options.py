"""The arguments of `run`: what may be given, and one clear error for what may not.

Nothing is started or opened here.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict, cast

from ringsync.errors import ConfigError
from ringsync.jobs.request import is_variable_name
from ringsync.seconds import LONGEST_S
from ringsync.words import in_line, kind_of
from ringsync.world import MOST_RANKS


class Options(TypedDict, total=False):
    """Options of `run`; those of `ringsyncrun` of the same names, and a limit of time."""

    timeline: str | os.PathLike[str] | None
    log_dir: str | os.PathLike[str] | None
    env: Mapping[str, str] | None
    timeout_s: float | None
    start_timeout_s: float | None
    grace_s: float
    tag_output: bool | None
    verbose: bool


def check_size(np: object) -> int:
    """Check the number of ranks.

    Args:
        np: As given.

    Returns:
        The number.

    Raises:
        ConfigError: It is no whole number, or out of range.
    """
    try:
        size = -1 if isinstance(np, bool) else operator.index(cast(int, np))
    except TypeError:
        size = -1
    if not 1 <= size <= MOST_RANKS:
        raise ConfigError(
            f"[run] np={in_line(np)} is no number of ranks; a whole number in 1..{MOST_RANKS} is "
            "expected. Write for example np=2."
        )
    return size


def check_call(
    fn: object, args: object, kwargs: object
) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """Check what is to be called, and with what.

    Args:
        fn: As given.
        args: As given.
        kwargs: As given.

    Returns:
        The function, its arguments by position and by name.

    Raises:
        ConfigError: One of them is of the wrong kind.
    """
    if not callable(fn):
        raise ConfigError(
            f"[run] fn={in_line(fn)} cannot be called; a function is expected. Write "
            "run(f, args=(1, 2)) to run f(1, 2)."
        )
    if isinstance(args, str | bytes) or not isinstance(args, Iterable):
        raise ConfigError(
            f"[run] args={in_line(args)} is no list of arguments. Write args=({in_line(args)},) to "
            "give one."
        )
    if kwargs is None:
        kwargs = {}
    if not isinstance(kwargs, Mapping) or not all(isinstance(name, str) for name in kwargs):
        raise ConfigError(
            f"[run] kwargs={in_line(kwargs)} is no dictionary from names to arguments. Write "
            "kwargs={'rate': 0.1}."
        )
    return fn, tuple(args), dict(kwargs)


def check_options(options: Mapping[str, object]) -> Options:
    """Check each option by itself.

    Args:
        options: As given.

    Returns:
        The options; paths as text, numbers as float.

    Raises:
        ConfigError: One is unknown, or its value is not usable.
    """
    checks: dict[str, Callable[[str, Any], object]] = {
        "timeline": _path,
        "log_dir": _path,
        "env": _variables,
        "timeout_s": _limit,
        "start_timeout_s": _limit,
        "grace_s": _seconds,
        "tag_output": _switch,
        "verbose": _switch,
    }
    for name in options:
        if name not in checks:
            import difflib  # noqa: PLC0415 - every rank imports this module, few are so mistaken

            close = difflib.get_close_matches(name, checks, 1)
            advice = f"Write {close[0]}." if close else f"Options are {', '.join(checks)}."
            raise ConfigError(f"[run] there is no option {name!r}. {advice}")
    return cast(Options, {name: checks[name](name, value) for name, value in options.items()})


def _path(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise ConfigError(f"[run] {name}={in_line(value)} is no path. Name a directory.")
    return os.fsdecode(value)


def _variables(name: str, value: object) -> dict[str, str]:
    if value is None:
        return {}
    # What variables hold is often secret, so no message shows it.
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"[run] {name} is {kind_of(value)}, no dictionary of variables. Write "
            f"{name}={{'NAME': 'text'}}."
        )
    for key, text in value.items():
        if not isinstance(key, str) or not is_variable_name(key):
            shown = repr(key.partition("=")[0]) if isinstance(key, str) else type(key).__name__
            raise ConfigError(
                f"[run] {name}: {shown} is no variable's name; letters, digits and _ are expected. "
                f"Write {name}={{'NAME': 'text'}}."
            )
        if not isinstance(text, str) or "\0" in text:
            kind = "text with a zero byte" if isinstance(text, str) else type(text).__name__
            raise ConfigError(
                f"[run] {name}: {key!r} is given {kind}; plain text is expected. Write "
                f"{name}={{'NAME': 'text'}}."
            )
    return dict(value)


def _limit(name: str, value: object) -> float | None:
    if value is None:
        return None
    seconds = _seconds(name, value)
    if seconds == 0:
        raise ConfigError(f"[run] {name}={in_line(value)} leaves no time. Write seconds, or None.")
    return seconds


def _seconds(name: str, value: object) -> float:
    try:
        seconds = math.nan if isinstance(value, bool | str) else float(cast(float, value))
    except (TypeError, ValueError, OverflowError):  # the last one of an int beyond every float
        seconds = math.nan
    if not 0 <= seconds < LONGEST_S:
        raise ConfigError(
            f"[run] {name}={in_line(value)} is not a number of seconds, 0 or more. Write a plain "
            "number, for example 30."
        )
    return seconds


def _switch(name: str, value: object) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise ConfigError(
            f"[run] {name}={in_line(value)} is neither True nor False. Write one of them."
        )
    return value
