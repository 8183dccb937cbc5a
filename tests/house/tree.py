"""Reading the source tree as text: the files, their syntax trees, cycles in who-uses-whom.

No rule lives here, and nothing of the package is imported: the house is judged before it is built.
"""

import ast
import fnmatch
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CPP_SUFFIXES = (".cc", ".h", ".cu", ".cuh")
PYTHON_SUFFIXES = (".py", ".pyi")

Sources = Mapping[str, str]
"""Text by path; the path is written from the repository's root, with forward slashes."""


def sources(*places: str, suffixes: tuple[str, ...] = ()) -> Sources:
    """Every file of ours in `places` (folders or files); no `suffixes` means all that is text."""
    found = {
        path: text
        for path, text in _all_text().items()
        if any(path == place or path.startswith(place.rstrip("/") + "/") for place in places)
        and (not suffixes or path.endswith(suffixes))
    }
    assert found, f"no {suffixes or 'text'} in {places}: a rule without a subject proves nothing"
    return found


def everything() -> Sources:
    """Every text file of the repository."""
    return _all_text()


@cache
def syntax(text: str) -> ast.Module:
    """The syntax tree of `text`; one parse serves all rules."""
    return ast.parse(text)


def module_name(path: str) -> str:
    """`ringsync/nn/linear.py` -> `ringsync.nn.linear`; a package's `__init__` is the package."""
    return path.rsplit(".", 1)[0].replace("/", ".").removesuffix(".__init__")


def find_cycles(uses: Mapping[str, Iterable[str]]) -> list[str]:
    """Each cycle that a depth-first walk of `uses` closes, written `a -> b -> a`."""
    cycles: list[str] = []
    finished: set[str] = set()

    def walk(node: str, trail: list[str]) -> None:
        if node in trail:
            cycles.append(" -> ".join([*trail[trail.index(node) :], node]))
            return
        if node in finished:
            return
        for used in sorted(uses.get(node, ())):
            walk(used, [*trail, node])
        finished.add(node)

    for start in sorted(uses):
        walk(start, [])
    return cycles


def require_none(violations: list[str]) -> None:
    """Fail with every violation on a line of its own."""
    if violations:
        pytest.fail("\n" + "\n".join(sorted(set(violations))), pytrace=False)


@cache
def _all_text() -> Sources:
    ignored = [
        line.strip().rstrip("/")
        for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    ]

    def is_ours(name: str) -> bool:
        return name != ".git" and not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)

    texts: dict[str, str] = {}
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if is_ours(name)]
        for file in filter(is_ours, files):
            path = Path(folder, file)
            content = path.read_bytes()
            if b"\0" not in content:  # data files are not text and follow no rule
                texts[path.relative_to(ROOT).as_posix()] = content.decode(errors="replace")
    return texts
