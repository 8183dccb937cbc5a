"""The rules of native/: who may include whom, and what C++ here never says.

Every function takes sources and returns violations; it reads text only and knows no compiler.
"""

import posixpath
import re
from collections.abc import Iterator

from .tree import Sources, find_cycles

FLOORS = {
    "base": 0,
    "device": 1,
    "rendezvous": 1,
    "transport": 2,
    "collective": 3,
    "fusion": 4,
    "codec": 4,
    "engine": 5,
    "bindings": 6,
}
# Outside the stack, and included by nobody: the small kernels of the learning library, and the two
# plug-ins, which share headers that need nothing of the core; the simulated device rounds as the
# core does.
ASIDE = {
    "kernels": re.compile(r"native/(base|device)/"),
    "cuda": re.compile(r"native/device/plugin\w*\.h$"),
    "hostsim": re.compile(r"native/device/(plugin\w*|narrow_floats)\.h$"),
}
# Where the interpreter may be known at all; everything else must run on threads that never hold it.
KNOWS_PYTHON = ("bindings", "kernels")

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)
_ENTRY_NAME = re.compile(r'\bname\(\) const override \{\s*return "(\w+)";')
_NOT_CODE = re.compile(
    r"//[^\n]*"
    r"|/\*.*?\*/"
    r'|R"(\w*)\(.*?\)\1"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'(?:\\[^'\n]+|[^'\\\n])'",
    re.DOTALL,
)
_INNERMOST_TEMPLATE = re.compile(r"<[^<>;{}]*>")
_STATIC = re.compile(r"\b(?:static|thread_local)\b([^;={(]*)([;={(])([^;]?)")
_GLOBAL = re.compile(
    r"^(?!(?:using|return|typedef|struct|class|union|enum|template|namespace|extern|friend|concept"
    r"|requires|static|thread_local|static_assert|public|private|protected|case|default|goto)\b)"
    r"((?:\[\[\w+\]\][ ])?[A-Za-z_][\w:]*(?:[ *&]+[A-Za-z_][\w:]*)+)[ ]*(?:[;]|=(?!=)|\{[^{}]*\};)",
    re.MULTILINE,
)
_FORBIDDEN = {
    "new": re.compile(r"\bnew\b"),
    "goto": re.compile(r"\bgoto\b"),
    "#define": re.compile(r"^[ \t]*#[ \t]*define\b", re.MULTILINE),
    "getenv": re.compile(r"\b(?:secure_)?getenv\b"),
}


def code_of(text: str) -> str:
    """`text` without comments, literals and includes; every line keeps its number."""

    def emptied(match: re.Match[str]) -> str:
        mark = '""' if match[0][0] in "\"'R" else " "
        return mark + "\n" * match[0].count("\n")

    return _NOT_CODE.sub(emptied, _INCLUDE.sub("", text))


def climbing_includes(files: Sources) -> list[str]:
    """Includes that go up a floor, across to a sibling, or into a place that nobody includes."""
    return [
        f"{where}: {path} includes {target}"
        for path, where, target in _own_includes(files)
        if not _may_include(path, target)
    ]


def homeless_files(files: Sources) -> list[str]:
    """Files in a folder that no floor names: they would escape every other rule."""
    return [f"{path}: its folder is on no floor" for path in files if not _is_placed(_folder(path))]


def unknown_includes(files: Sources) -> list[str]:
    """Quoted includes that name no file of ours; other people's headers stand in angle brackets."""
    return [
        f'{where}: "{name}" names no file under native/'
        for path, where, bracket, name in _includes(files)
        if bracket == '"' and _resolve(path, name, files) is None
    ]


def include_cycles(files: Sources) -> list[str]:
    """Files that include themselves through others."""
    uses: dict[str, set[str]] = {path: set() for path in files}
    for path, _, target in _own_includes(files):
        uses[path].add(target)
    return find_cycles(uses)


def headers_out_of_place(files: Sources) -> list[str]:
    """CUDA's headers outside native/cuda, the interpreter's outside the two doors."""
    found = []
    for path, where, bracket, name in _includes(files):
        folder, base = _folder(path), posixpath.basename(name)
        if bracket == "<" and re.match(r"(cuda|nccl|nvToolsExt)", base) and folder != "cuda":
            found.append(f"{where}: <{name}> belongs to native/cuda")
        if re.match(r"(nanobind/|pybind11/|Python\.h$)", name) and folder not in KNOWS_PYTHON:
            found.append(f"{where}: <{name}> belongs to native/{KNOWS_PYTHON[0]}")
    return found


def forbidden_words(files: Sources) -> list[str]:
    """`new`, `goto`, `#define`, `getenv`, outside comments and literals."""
    return [
        f"{path}:{_line(code, match.start())}: `{word}`"
        for path, code in _code(files)
        for word, pattern in _FORBIDDEN.items()
        for match in pattern.finditer(code)
    ]


def unguarded_headers(files: Sources) -> list[str]:
    """Headers without `#pragma once`, the only guard in use."""
    return [
        f"{path}: no #pragma once"
        for path, text in files.items()
        if path.endswith((".h", ".cuh")) and not re.search(r"^#pragma once$", text, re.MULTILINE)
    ]


def mutable_statics(files: Sources) -> list[str]:
    """State that outlives every object: mutable `static`, `thread_local`, namespace variables."""
    found = []
    for path, code in _code(files):
        plain = _without_templates(code)
        for match in _STATIC.finditer(plain):
            declaration, end, following = match.groups()
            # `static T make(int count)` declares a function; a literal in its place, a variable.
            is_variable = end != "(" or (following.isdigit() or following in {'"', "&", "{"})
            if is_variable and not _is_constant(declaration):
                found.append(f"{path}:{_line(plain, match.start())}: static{declaration}")
        found += [
            f"{path}:{_line(plain, match.start())}: {match[1]}"
            for match in _GLOBAL.finditer(plain)
            if "operator" not in match[1] and not _is_constant(match[1])
        ]
    return found


def undocumented_entries(files: Sources, documents: Sources) -> list[str]:
    """Algorithms, transports and the like that no document names, in backticks."""
    told = "\n".join(documents.values())
    return [
        f"{path}: `{name}` is named in no document"
        for path, text in files.items()
        for name in _ENTRY_NAME.findall(text)
        if f"`{name}`" not in told
    ]


def _is_constant(declaration: str) -> bool:
    if re.search(r"\b(constexpr|constinit const)\b", declaration):
        return True
    if "*" in declaration:  # `const char* name` may still be pointed elsewhere
        return re.search(r"\*\s*const\b", declaration) is not None
    return re.search(r"\bconst\b", declaration) is not None


def _without_templates(code: str) -> str:
    while True:
        inner = _INNERMOST_TEMPLATE.sub(lambda match: "\n" * match[0].count("\n"), code)
        if inner == code:
            return code
        code = inner


def _may_include(path: str, target: str) -> bool:
    source, used = _folder(path), _folder(target)
    if source == used:
        return True
    if source in ASIDE:
        return ASIDE[source].match(target) is not None
    return used in FLOORS and source in FLOORS and FLOORS[used] < FLOORS[source]


def _is_placed(folder: str) -> bool:
    return folder in FLOORS or folder in ASIDE


def _folder(path: str) -> str:
    return path.split("/")[1] if path.count("/") > 1 else ""


def _code(files: Sources) -> Iterator[tuple[str, str]]:
    return ((path, code_of(text)) for path, text in files.items())


def _includes(files: Sources) -> Iterator[tuple[str, str, str, str]]:
    for path, text in files.items():
        for match in _INCLUDE.finditer(text):
            yield path, f"{path}:{_line(text, match.start())}", match[1], match[2]


def _own_includes(files: Sources) -> Iterator[tuple[str, str, str]]:
    for path, where, _, name in _includes(files):
        target = _resolve(path, name, files)
        if target is not None:
            yield path, where, target


def _resolve(path: str, name: str, files: Sources) -> str | None:
    for base in (posixpath.dirname(path), "native"):
        candidate = posixpath.normpath(posixpath.join(base, name))
        if candidate in files:
            return candidate
    return None


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
