"""How messages write the values that callers pass, and the exceptions that those raise.

What is wrong with a value, and what is expected of it, is for whoever refuses it to say.
"""

from __future__ import annotations

# What a value is can be seen from two lines of a terminal; a list may have a million numbers.
_MOST_TEXT = 200


def in_line(value: object) -> str:
    """Write a value in one line, as its `repr` is otherwise, and no more of it than tells it.

    Args:
        value: As a caller gave it.

    Returns:
        For example, "array([[1], [1]])"; what is longer than 200 characters ends in "...". Of a
        value whose `repr` raises, its kind.
    """
    try:
        return _shortened(_joined(repr(value)))
    except Exception:  # Python's own of an int beyond 4300 digits, or whatever the class raises
        return kind_of(value)


def error_in_line(error: BaseException) -> str:
    """Say what an exception says, in one line without a full stop at its end.

    Args:
        error: The exception.

    Returns:
        For example, "TypeError: cannot pickle 'module' object".
    """
    try:
        text = _joined(str(error))
    except Exception:  # its own `__str__`
        return type(error).__name__
    return f"{type(error).__name__}: {text}".rstrip(".")


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


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 3] + "..."


def _joined(text: str) -> str:
    return text if text.splitlines() == [text] else " ".join(text.split())
