"""Hooks that keep nobody."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import Any

_ANYBODY = contextlib.nullcontext()


def weak_hook(
    method: Callable[..., None],
    *first: object,
    turn: contextlib.AbstractContextManager[Any] = _ANYBODY,
) -> Callable[[Any], None]:
    """Make a hook of a method whose object it does not keep.

    Torch shows Python's collector no hooks of tensors: a parameter whose hook kept the optimizer,
    which keeps the parameter, would never be freed.

    Args:
        method: A bound one; what is called while its object lives.
        first: What it takes before what the hook is told.
        turn: What is held meanwhile. Autograd goes back through what lies on the host and on a GPU
            at once, on a thread of its own for each.

    Returns:
        The hook.
    """
    told = weakref.WeakMethod(method)

    def hook(news: Any) -> None:
        found = told()
        if found is not None:
            with turn:
                found(*first, news)

    return hook
