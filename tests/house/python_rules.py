"""The rules of ringsync/: who may import whom, and which calls have one home only.

Every function takes sources and returns violations. Imports are read from the syntax tree wherever
they stand: at the top, inside a function, under TYPE_CHECKING, or spelled `import_module("...")`.
"""

import ast
import configparser
from collections.abc import Iterator
from dataclasses import dataclass

from .tree import Sources, find_cycles, module_name, syntax

PACKAGE = "ringsync"
# Compiled, so there is no source file to know them by.
COMPILED = ("ringsync._native", "ringsync._kernels")

LEARNING = ("autograd", "graph", "nn", "optim", "data", "models")
COMMUNICATING = (
    "runtime",
    "memory",
    "position",
    "timeline",
    "group",
    "handle",
    "collectives",
    "objects",
    "compression",
)

# What stands behind a door, and the only modules (with all below them) that may open it.
DOORS = {
    "ringsync._native": (
        "ringsync.runtime",
        "ringsync.endings",
        "ringsync.memory",
        "ringsync.trial",
        "ringsync.nccl",
        "ringsync.group",
        "ringsync.handle",
        "ringsync.collectives",
    ),
    "ringsync._kernels": ("ringsync.autograd.ops", "ringsync.optim", "ringsync.ps"),
    "torch": (
        "ringsync.torch",
        "bench.device",
        "bench.peers.gloo",
        "bench.peers.horovod",
        "bench.ranks.chain",
        "bench.ranks.training",
        "bench.ranks.wrappers",
        "examples",
    ),
    "cupy": (
        "ringsync.device_arrays",
        "bench.device",
        "bench.ranks.devices",
        "bench.ranks.device_overlap",
        "examples",
    ),
}
READS_ENVIRONMENT = (
    "ringsync.config",
    "ringsync.launch.spawn",
    "ringsync.compat.horovod.common.util",  # sets variables for scripts that ask it to
)
PRINTS = ("ringsync.launch", "ringsync.report.cli", "ringsync.__main__")


@dataclass(frozen=True, slots=True)
class Import:
    """One module that another one names; `target` is as precise as the files allow."""

    importer: str
    target: str
    where: str


def imports(files: Sources) -> Iterator[Import]:
    """Every import of `files`, resolved to the module that it reaches."""
    modules = {module_name(path) for path in files} | set(COMPILED)
    for path, text in files.items():
        importer = module_name(path)
        package = importer if path.endswith("__init__.py") else importer.rpartition(".")[0]
        for node in ast.walk(syntax(text)):
            for target in _targets(node, package, modules):
                yield Import(importer, target, f"{path}:{getattr(node, 'lineno', 0)}")


def import_cycles(files: Sources) -> list[str]:
    """Modules that import themselves through others; imports for type checking count too."""
    uses: dict[str, set[str]] = {module_name(path): set() for path in files}
    for found in imports(files):
        if found.target in uses:
            uses[found.importer].add(found.target)
    return find_cycles(uses)


def root_imports(files: Sources) -> list[str]:
    """Modules of the package that lean on the root, which itself leans on all of them."""
    return [
        f"{found.where}: {found.importer} imports the root {PACKAGE}"
        for found in imports(files)
        if found.target == PACKAGE and found.importer != PACKAGE
    ]


def launcher_imports(files: Sources) -> list[str]:
    """Modules outside of the launcher that import it: whoever needs it starts it as a process."""
    launcher = (f"{PACKAGE}.launch",)
    return [
        f"{found.where}: {found.importer} imports {found.target}"
        for found in imports(files)
        if _is_within(found.target, launcher) and not _is_within(found.importer, launcher)
    ]


def imports_between_the_halves(files: Sources) -> list[str]:
    """Floor 7: the learning half and the communicating half do not know of one another."""
    return [
        f"{found.where}: {found.importer} sees {found.target}"
        for found in imports(files)
        if (_top(found.importer) in LEARNING and _top(found.target) in COMMUNICATING)
        or (_top(found.importer) in COMMUNICATING and _top(found.target) in LEARNING)
    ]


def imports_past_a_door(files: Sources) -> list[str]:
    """`_native`, `_kernels`, torch and cupy, imported by a module that does not keep their door."""
    return [
        f"{found.where}: {found.importer} imports {door}; only {', '.join(keepers)} may"
        for found in imports(files)
        for door, keepers in DOORS.items()
        if _is_within(found.target, (door,)) and not _is_within(found.importer, keepers)
    ]


def unplaced_modules(files: Sources, contracts: str) -> list[str]:
    """Modules right below the root that the layers of `contracts` (setup.cfg) do not name."""
    parser = configparser.ConfigParser()
    parser.read_string(contracts)
    layers = " ".join(
        section["layers"] for section in parser.values() if section.get("type") == "layers"
    )
    placed = {name.strip("() ") for line in layers.splitlines() for name in line.split("|")}
    placed |= {name.rpartition(".")[2] for name in COMPILED}
    found = {_top(module_name(path)) for path in files} - {""} - placed
    return [f"{PACKAGE}.{name}: on no floor of setup.cfg" for name in sorted(found)]


def environment_reads(files: Sources) -> list[str]:
    """`os.environ` and its kin outside the configuration and the spawning of ranks."""
    names = {"environ", "environb", "getenv", "putenv", "unsetenv"}
    return [
        f"{path}:{node.lineno}: the environment is read in {' and '.join(READS_ENVIRONMENT)} only"
        for path, node in _nodes(files, except_in=READS_ENVIRONMENT)
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "os"
            and node.attr in names
        )
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and names & {alias.name for alias in node.names}
        )
    ]


def prints(files: Sources) -> list[str]:
    """Calls of `print` in modules that do not own the terminal."""
    return [
        f"{path}:{node.lineno}: print"
        for path, node in _nodes(files, except_in=PRINTS)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"print", "pprint"}
    ]


def sleeps(files: Sources) -> list[str]:
    """`time.sleep` and its disguise: a test waits for a fact. A child's script is no call here."""
    return [
        f"{path}:{node.lineno}: sleep"
        for path, node in _nodes(files)
        if (isinstance(node, ast.Attribute) and node.attr == "sleep")
        or (isinstance(node, ast.ImportFrom) and "sleep" in {alias.name for alias in node.names})
        or _waits_for_nobody(node)
    ]


def _waits_for_nobody(node: ast.AST) -> bool:
    """Whether it is `Event().wait(1.0)`: nobody knows of the event, so time is all that passes."""
    match node:
        case ast.Call(
            func=ast.Attribute(
                value=ast.Call(func=ast.Name(id="Event") | ast.Attribute(attr="Event")), attr="wait"
            )
        ):
            return bool(node.args or node.keywords)
    return False


def _targets(node: ast.AST, package: str, modules: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (PACKAGE if _binds_root(alias) else alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _absolute(node, package)
        for alias in node.names:
            below = f"{base}.{alias.name}"
            yield below if below in modules else base
    elif isinstance(node, ast.Call) and node.args:
        callee = node.func.attr if isinstance(node.func, ast.Attribute) else None
        callee = node.func.id if isinstance(node.func, ast.Name) else callee
        name = node.args[0]
        if callee in {"import_module", "__import__", "find_spec"} and isinstance(
            name, ast.Constant
        ):
            yield str(name.value)


def _binds_root(alias: ast.alias) -> bool:
    # `import ringsync.errors` puts the whole root into the module's hands.
    return alias.name.startswith(f"{PACKAGE}.") and alias.asname is None


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if node.level == 0:
        return node.module or ""
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - node.level + 1])
    return f"{base}.{node.module}" if node.module else base


def _top(module: str) -> str:
    parts = module.split(".")
    return parts[1] if parts[0] == PACKAGE and len(parts) > 1 else ""


def _is_within(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def _nodes(files: Sources, except_in: tuple[str, ...] = ()) -> Iterator[tuple[str, ast.AST]]:
    for path, text in files.items():
        if not _is_within(module_name(path), except_in):
            yield from ((path, node) for node in ast.walk(syntax(text)))
