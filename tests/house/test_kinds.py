"""What ranks do together has one number on both sides of the door."""

import ast
import re

import pytest

from .tree import Sources, sources, syntax


def native_numbers(files: Sources, name: str) -> dict[str, int]:
    """The members of the C++ `enum class` of that name, as Python spells constants."""
    pattern = re.compile(rf"enum class {name}\b[^{{]*{{(.*?)}};", re.DOTALL)
    [body] = [match[1] for text in files.values() for match in pattern.finditer(text)]
    members = re.findall(r"\bk(\w+) = (\d+)", body)
    return {re.sub(r"(?<!^)(?=[A-Z])", "_", key).upper(): int(value) for key, value in members}


def python_numbers(files: Sources, name: str) -> dict[str, int]:
    """The constants of the Python class of that name."""
    [found] = [
        node
        for text in files.values()
        for node in ast.walk(syntax(text))
        if isinstance(node, ast.ClassDef) and node.name == name
    ]
    constants: dict[str, int] = {}
    for node in found.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            constants[target.id.upper()] = node.value.value
    return constants


@pytest.fixture
def native():
    return sources("native/collective", "native/device", suffixes=(".h",))


def test_every_collective_has_the_native_number(native):
    kinds = sources("ringsync/kinds.py")
    assert python_numbers(kinds, "Collective") == native_numbers(native, "Collective")


def test_every_native_op_has_its_number_in_reduce_op_too(native):
    ops = python_numbers(sources("ringsync/collectives/reduce_op.py"), "ReduceOp")
    assert ops == {"ADASUM": 2} | native_numbers(native, "ReduceOp")


def test_the_ops_of_kinds_are_ops_of_reduce_op():
    ops = python_numbers(sources("ringsync/collectives/reduce_op.py"), "ReduceOp")
    kinds = python_numbers(sources("ringsync/kinds.py"), "Op")
    assert kinds
    assert kinds.items() <= ops.items()


def test_numbers_are_read_on_both_sides():
    header = "enum class Verb : uint8_t {\n  kGo = 0,\n  /// Far.\n  kGoAway = 7,\n};\n"
    assert native_numbers({"a.h": header}, "Verb") == {"GO": 0, "GO_AWAY": 7}
    source = 'class Verb:\n    """Text."""\n\n    GO: Final = 0\n    GoAway = 8\n'
    assert python_numbers({"a.py": source}, "Verb") == {"GO": 0, "GOAWAY": 8}
