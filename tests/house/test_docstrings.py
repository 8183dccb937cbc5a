"""Every public name explains itself in STYLE's sections; the rule first proves that it can see."""

import pytest

from . import docstring_rules as rules
from .text_rules import NAMED_BY_OTHERS
from .tree import Sources, require_none, sources

COMPLETE = '''
def scale(x: Array, *factors: float, name: str | None = None) -> Array:
    """Multiply.

    Args:
        x: What.
        *factors: By what.
        name (optional): A key.

    Returns:
        The product.

    Raises:
        ValueError: It is empty.
    """
    if not factors:
        raise ValueError
    return x
'''


@pytest.fixture(scope="module")
def package() -> Sources:
    found = sources("ringsync", "ringsyncrun", suffixes=(".py", ".pyi"))
    # What these modules hand on explains itself where it is defined.
    return {path: found[path] for path in found if not path.startswith(NAMED_BY_OTHERS)}


def test_every_public_name_has_a_docstring_with_its_sections(package):
    require_none(rules.missing_docstrings(package))


def test_every_package_lists_what_is_public(package):
    require_none(rules.unlisted_packages(package))


def lacks_of(definition, name="scale"):
    init = f'from ringsync.a import {name}\n__all__ = ["{name}"]\n'
    found = rules.missing_docstrings({"ringsync/__init__.py": init, "ringsync/a.py": definition})
    return [lack.split(f"{name}: ", 1)[1] for lack in found]


def test_a_complete_docstring_lacks_nothing():
    assert lacks_of(COMPLETE) == []


@pytest.mark.parametrize(
    ("cut", "lack"),
    [
        ("        x: What.\n", "Args: does not name 'x'"),
        ("        *factors: By what.\n", "Args: does not name 'factors'"),
        ("        name (optional): A key.\n", "Args: does not name 'name'"),
        ("    Returns:\n", "no Returns:"),
        ("    Raises:\n", "no Raises:"),
    ],
)
def test_a_missing_section_or_argument_is_found(cut, lack):
    assert cut in COMPLETE
    assert lacks_of(COMPLETE.replace(cut, "")) == [lack]


def test_a_missing_docstring_is_found():
    assert lacks_of("def scale() -> None: ...") == ["no docstring"]
    assert lacks_of("class scale: ...") == ["no docstring"]


def test_a_raise_inside_an_inner_function_belongs_to_that_function():
    assert lacks_of('def scale():\n    """A."""\n    def f():\n        raise E()\n') == []


def test_a_constructor_names_its_arguments_in_either_docstring():
    body = "    def __init__(self, lr: float) -> None:\n        '''Keep.{}'''\n"
    assert lacks_of(f"class scale:\n    '''A.'''\n{body.format('')}") == [
        "Args: does not name 'lr'"
    ]
    inside = body.format("\n\n        Args:\n            lr: Rate.\n        ")
    assert lacks_of(f"class scale:\n    '''A.'''\n{inside}") == []
    above = "class scale:\n    '''A.\n\n    Args:\n        lr: Rate.\n    '''\n"
    assert lacks_of(above + body.format("")) == []


def test_a_record_names_its_fields():
    record = (
        "@dataclass(frozen=True)\nclass scale:\n    '''A.'''\n    count: int\n    _own: int = 0\n"
    )
    assert lacks_of(record) == ["Args: does not name 'count'"]


def test_a_name_is_followed_through_packages_aliases_and_branches():
    files = {
        "ringsync/__init__.py": "from .nn import go\nfrom ringsync import nn\n"
        "__all__ = ['go', 'nn', 'Sum', 'Engine']\n"
        "from ringsync.a import Sum\nfrom ringsync._native import Engine\n",
        "ringsync/nn/__init__.py": "from ringsync.nn.b import work as go\n__all__ = ['go']\n",
        "ringsync/nn/b.py": "try:\n    work = other\nfinally:\n    pass\ndef other(): ...\n",
        "ringsync/a.py": "Sum = Op.SUM\n",
    }
    assert rules.missing_docstrings(files) == [
        "ringsync/nn/b.py: ringsync.go: no docstring",
        "ringsync/nn/__init__.py: ringsync.nn: no docstring",
    ]


def test_a_name_that_is_defined_nowhere_is_found():
    files = {"ringsync/__init__.py": "__all__ = ['ghost']\n"}
    assert rules.missing_docstrings(files) == [
        "ringsync/__init__.py: ringsync.ghost: listed in __all__ and defined nowhere"
    ]


def test_a_package_without_a_list_of_public_names_is_found():
    files = {
        "ringsync/__init__.py": '"""Root."""\n',
        "ringsync/nn/__init__.py": "from ringsync.nn.a import f\n",
        "ringsync/launch/__init__.py": '"""Nothing public."""\n',
    }
    assert rules.unlisted_packages(files) == [
        "ringsync/__init__.py: no literal __all__",
        "ringsync/nn/__init__.py: no literal __all__",
    ]
