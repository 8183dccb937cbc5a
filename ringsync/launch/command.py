"""Turns what stands after the options into the program that every rank executes.

Whatever can be known to fail is refused here, before any rank starts; it starts nothing itself.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ringsync.errors import ConfigError

_INTERPRETERS = ("python", "python3")


def resolve_command(words: Sequence[str], search_path: str | None) -> tuple[str, ...]:
    """Find the program of `x.py args`, `python x.py args`, `-m mod args` or `program args`.

    Args:
        words: The command as written, without the launcher's own options.
        search_path: PATH of the ranks; None means the system's default.

    Returns:
        The argument vector of every rank; its first word is a path.

    Raises:
        ConfigError: No command, a script that cannot be read, or a program that is not found.
    """
    if not words:
        raise ConfigError(
            "[ringsyncrun] there is no command to run. Put a script after the options, for "
            "example: ringsyncrun -np 2 train.py."
        )
    first, rest = words[0], tuple(words[1:])
    if first == "-m":
        if not rest:
            raise ConfigError("[ringsyncrun] -m needs a module name. Write -m package.module.")
        return (sys.executable, "-m", *rest)
    if first.endswith(".py"):
        _check_script(first)
        return (sys.executable, first, *rest)
    if first in _INTERPRETERS:
        if rest and rest[0].endswith(".py"):
            _check_script(rest[0])
        return (shutil.which(first, path=search_path) or sys.executable, *rest)
    return (_find_program(first, search_path), *rest)


def _check_script(name: str) -> None:
    script = Path(name)
    if script.is_dir():
        raise ConfigError(f"[ringsyncrun] {name!r} is a directory. Name the script to run in it.")
    if not script.exists():
        raise ConfigError(
            f"[ringsyncrun] script {name!r} does not exist in {Path.cwd()}. Check its path."
        )
    if not os.access(script, os.R_OK):
        raise ConfigError(f"[ringsyncrun] script {name!r} cannot be read. Check its permissions.")


def _find_program(name: str, search_path: str | None) -> str:
    if not name:
        raise ConfigError("[ringsyncrun] the program's name is empty. Name a script or a program.")
    found = shutil.which(name, path=search_path)
    if found:
        return found
    here = Path(name)
    if here.is_dir():
        raise ConfigError(f"[ringsyncrun] {name!r} is a directory. Name a script or a program.")
    if "/" in name and not here.exists():
        raise ConfigError(f"[ringsyncrun] program {name!r} does not exist. Check its path.")
    if "/" in name:
        raise ConfigError(
            f"[ringsyncrun] {name!r} is not executable. Set its x bit, or name an interpreter "
            "before it."
        )
    advice = f"Write ./{name} to run the file in this directory." if here.exists() else ""
    raise ConfigError(
        f"[ringsyncrun] program {name!r} is not on PATH. {advice or 'Check its spelling.'}"
    )
