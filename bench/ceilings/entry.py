"""Enters the ceilings into a contest; they are compiled on first use, for this machine.

What they do is C++'s matter, in the files beside this one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contest import Case, Contender
from bench.machine import cpu_name

_PLACE = Path(__file__).resolve().parent
_COMPILE = ("c++", "-std=c++20", "-O3", "-march=native")
_COMPILE_LIMIT_S = 120  # it takes three seconds
_RANKS = 2
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class _Ceiling:
    """One model; its name is a name in models.cc.

    Attributes:
        memory: Where its arrays lie.
        least_bytes: Below, another one is faster.
        most_bytes: Above, another one is faster.
    """

    memory: str
    least_bytes: int
    most_bytes: int


_CEILINGS = {
    "in-place": _Ceiling("registered", 0, 2**40),
    "whole": _Ceiling("private", 0, _MIB),
    "halves": _Ceiling("private", 64 * 2**10, 2**40),
    "read": _Ceiling("private", 64 * 2**10, 2**40),
}


def ceiling_entries(
    cases: Sequence[Case], memories: Sequence[str], size: int
) -> list[tuple[Contender, Sequence[Case]]]:
    """Enter the ceilings; where there can be none, a line on stderr says so.

    Args:
        cases: Of one array each.
        memories: Kinds of memory that ringsync takes part with.
        size: Number of ranks.

    Returns:
        Contenders, each with the cases that suit it.
    """
    if size != _RANKS:
        sys.stderr.write(f"[bench] ceilings are skipped: they have {_RANKS} ranks, not {size}\n")
        return []
    try:
        program = _build()
    except (OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"[bench] ceilings are skipped: {error}\n")
        return []
    return [
        (_contender(name, ceiling, program, suited), suited)
        for name, ceiling in _CEILINGS.items()
        if ceiling.memory in memories
        and (suited := [one for one in cases if _suits(ceiling, one.size_bytes)])
    ]


def _suits(ceiling: _Ceiling, size_bytes: int) -> bool:
    return ceiling.least_bytes <= size_bytes <= ceiling.most_bytes


def _contender(name: str, ceiling: _Ceiling, program: Path, cases: Sequence[Case]) -> Contender:
    words = [f"{one.name}:{one.counts[0]}:{one.samples}:{one.calls}" for one in cases]
    command = (str(program), name, *words)
    return Contender(f"ceiling-{name}", "ceiling", name, command, ceiling.memory)


def _build() -> Path:
    """The program, from the cache or the compiler."""
    if shutil.which(_COMPILE[0]) is None:
        raise FileNotFoundError(f"there is no compiler {_COMPILE[0]!r}")
    sources = sorted(_PLACE.glob("*.cc"))
    texts = [path.read_bytes() for path in [*sources, *sorted(_PLACE.glob("*.h"))]]
    # Compiled for one processor, it may not run on the next that shares a home directory.
    key = hashlib.sha256(b"\0".join([*texts, repr((_COMPILE, cpu_name())).encode()]))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ringsync-bench"
    program = cache / f"ceilings-{key.hexdigest()[:16]}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        # In place only when complete: another bench may look at the same moment.
        with tempfile.TemporaryDirectory(dir=cache) as unfinished:
            built = Path(unfinished) / "ceilings"
            _compile([*_COMPILE, *map(str, sources), "-o", str(built)])
            built.replace(program)
    return program


def _compile(command: Sequence[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_COMPILE_LIMIT_S, check=False
    )
    if done.returncode != 0:
        first = next((line for line in done.stderr.splitlines() if "error" in line), "no reason")
        raise OSError(f"{command[0]} ended with {done.returncode}: {first}")
