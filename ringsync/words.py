"""How messages write the values that callers pass.

What is wrong with a value, and what is expected of it, is for whoever refuses it to say.
"""

from __future__ import annotations


def in_line(value: object) -> str:
    """Write a value in one line, as its `repr` is otherwise.

    Args:
        value: As a caller gave it.

    Returns:
        For example, "array([[1], [1]])".
    """
    text = repr(value)
    return text if "\n" not in text else " ".join(text.split())


def kind_of(value: object) -> str:
    """Name the kind of thing that a value is.

    Args:
        value: As a caller gave it.

    Returns:
        For example, "an int", "None", or "the class SGD" for a class itself.
    """
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    return f"{'an' if name.startswith((*'AEIOaeio', 'nd')) else 'a'} {name}"
