"""What every public name must say about itself, read from the syntax tree.

A name is public when the `__all__` of a package's `__init__` lists it; it is followed to the place
that defines it. Whether the words are true is for a reader to judge, not for this module.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .python_rules import COMPILED, PACKAGE
from .tree import Sources, module_name, syntax

Function = ast.FunctionDef | ast.AsyncFunctionDef
Binding = Function | ast.ClassDef | ast.ImportFrom | ast.Assign | ast.AnnAssign

_SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}((?:\*{0,2}\w+(?:, )?)+)(?: \([^)]*\))?:", re.MULTILINE)
_SPEAKS_FOR_ITSELF = ("None", "NoReturn", "Never")


@dataclass(frozen=True, slots=True)
class Public:
    """A public name and what defines it; no `definition` where none can have a docstring."""

    name: str
    path: str
    definition: ast.AST | None


def public_names(files: Sources) -> list[Public]:
    """Every name that a package of `files` lists in `__all__`, with its definition."""
    resolver = _Resolver(files, {module_name(path): path for path in files})
    found: dict[tuple[str, int], Public] = {}
    for path, text in files.items():
        if path.endswith("__init__.py"):
            module = module_name(path)
            for name in _listed(syntax(text)):
                public = resolver.follow(f"{module}.{name}", module, name)
                key = (public.path, getattr(public.definition, "lineno", id(public)))
                found.setdefault(key, public)
    return list(found.values())


def missing_docstrings(files: Sources) -> list[str]:
    """Public names without a docstring, or without one of its sections."""
    return [
        f"{public.path}: {public.name}: {lack}"
        for public in public_names(files)
        for lack in _lacks(public.definition)
    ]


def unlisted_packages(files: Sources) -> list[str]:
    """Packages whose `__init__` brings names in and does not say in `__all__` which are public."""
    return [
        f"{path}: no literal __all__"
        for path, text in files.items()
        if path.endswith("__init__.py")
        and not _listed(syntax(text))
        and (
            path == f"{PACKAGE}/__init__.py"
            or any(isinstance(node, ast.ImportFrom | Function) for node in syntax(text).body)
        )
    ]


def _listed(tree: ast.Module) -> list[str]:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return [
                item.value
                for item in getattr(node.value, "elts", [])
                if isinstance(item, ast.Constant) and isinstance(item.value, str)
            ]
    return []


@dataclass(frozen=True, slots=True)
class _Resolver:
    """Follows a name from module to module, to where it is made."""

    files: Sources
    by_module: dict[str, str]

    def follow(self, public: str, module: str, name: str) -> Public:
        if f"{module}.{name}" in self.by_module:
            path = self.by_module[f"{module}.{name}"]
            return Public(public, path, syntax(self.files[path]))
        if module in COMPILED or module not in self.by_module:  # made, and explained, elsewhere
            return Public(public, module, None)
        for node in reversed(list(_bindings(syntax(self.files[self.by_module[module]])))):
            made = self._by(node, Public(public, self.by_module[module], None), module, name)
            if made is not None:
                return made
        return Public(public, self.by_module[module], ast.Pass())

    def _by(self, node: Binding, constant: Public, module: str, name: str) -> Public | None:
        """What `node` makes of `name`: None when it does not bind it at all."""
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    source = _absolute(node, module, constant.path)
                    return self.follow(constant.name, source, alias.name)
        elif isinstance(node, Function | ast.ClassDef):
            if node.name == name:
                return Public(constant.name, constant.path, node)
        elif name in _assigned(node):
            if isinstance(node.value, ast.Name) and node.value.id != name:
                return self.follow(constant.name, module, node.value.id)
            return constant  # a value has no docstring to carry
        return None


def _assigned(node: ast.Assign | ast.AnnAssign) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {
        name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)
    }


def _bindings(tree: ast.AST) -> Iterator[Binding]:
    """Definitions, imports and assignments of a module's own scope, branches included."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Binding):
            yield node
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _bindings(node)


def _absolute(node: ast.ImportFrom, module: str, path: str) -> str:
    if node.level == 0:
        return node.module or ""
    drop = node.level - (1 if path.endswith("__init__.py") else 0)
    base = ".".join(module.split(".")[: len(module.split(".")) - drop])
    return f"{base}.{node.module}" if node.module else base


def _lacks(definition: ast.AST | None) -> list[str]:
    if definition is None:
        return []
    if isinstance(definition, ast.Pass):
        return ["listed in __all__ and defined nowhere"]
    text = ast.get_docstring(definition)
    if not text:
        return ["no docstring"]
    if isinstance(definition, Function):
        return _function_lacks(definition, text)
    if isinstance(definition, ast.ClassDef):
        return _class_lacks(definition, text)
    return []


def _function_lacks(function: Function, text: str) -> list[str]:
    sections = _sections(text)
    lacks = _unnamed(_arguments(function), _entries(sections, "Args"))
    returns = ast.unparse(function.returns) if function.returns else "None"
    if returns not in _SPEAKS_FOR_ITSELF and not {"Returns", "Yields"} & sections.keys():
        lacks.append("no Returns:")
    if _raises(function) and "Raises" not in sections:
        lacks.append("no Raises:")
    return lacks


def _class_lacks(definition: ast.ClassDef, text: str) -> list[str]:
    """A class that is called must name what it is called with; errors are caught, not called."""
    if definition.name.endswith("Error"):
        return []
    sections = _sections(text)
    known = _entries(sections, "Args") | _entries(sections, "Attributes")
    arguments, raises = _fields(definition), False
    for node in definition.body:
        if isinstance(node, Function) and node.name == "__init__":
            own = _sections(ast.get_docstring(node) or "")
            known |= _entries(own, "Args")
            sections |= own
            arguments, raises = _arguments(node), _raises(node)
    lacks = _unnamed(arguments, known)
    return [*lacks, "no Raises:"] if raises and "Raises" not in sections else lacks


def _unnamed(arguments: list[str], known: set[str]) -> list[str]:
    return [f"Args: does not name {name!r}" for name in arguments if name not in known]


def _arguments(function: Function) -> list[str]:
    spec = function.args
    every = [*spec.posonlyargs, *spec.args, spec.vararg, *spec.kwonlyargs, spec.kwarg]
    names = [argument.arg for argument in every if argument is not None]
    return [name for name in names if name not in {"self", "cls"} and not name.startswith("_")]


def _fields(definition: ast.ClassDef) -> list[str]:
    is_record = any("dataclass" in ast.unparse(item) for item in definition.decorator_list)
    return [
        node.target.id
        for node in definition.body
        if is_record
        and isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and not node.target.id.startswith("_")
        and "ClassVar" not in ast.unparse(node.annotation)
        and "init=False" not in ast.unparse(node)
    ]


def _raises(function: Function) -> bool:
    """Whether the function's own body raises; what inner functions and lambdas do is theirs."""
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Raise) and node.exc is not None:
            return True
        if not isinstance(node, Function | ast.ClassDef | ast.Lambda):
            pending.extend(ast.iter_child_nodes(node))
    return False


def _sections(text: str) -> dict[str, str]:
    pieces = _SECTION.split(text)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def _entries(sections: dict[str, str], section: str) -> set[str]:
    listed = _ENTRY.findall(sections.get(section, ""))
    return {name.strip("* ") for names in listed for name in names.split(",")}
