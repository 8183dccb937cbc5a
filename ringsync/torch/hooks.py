"""Hooks that keep nobody."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any


def weak_hook(method: Callable[..., None], *first: object) -> Callable[[Any], None]:
    """Make a hook of a method whose object it does not keep.

    Torch shows Python's collector no hooks of tensors: a parameter whose hook kept the optimizer,
    which keeps the parameter, would never be freed.

    Args:
        method: A bound one; what is called while its object lives.
        first: What it takes before what the hook is told.

    Returns:
        The hook.
    """
    told = weakref.WeakMethod(method)

    def hook(news: Any) -> None:
        found = told()
        if found is not None:
            found(*first, news)

    return hook
