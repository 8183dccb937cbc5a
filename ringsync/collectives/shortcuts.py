"""Ordinary calls of the collectives that training makes all the time, without a line of Python.

To bind their keywords takes the interpreter longer than a small allreduce takes two ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import TypeVar, cast

from ringsync._native import make_shortcut
from ringsync.collectives.reduce_op import ReduceOp
from ringsync.group import ProcessGroup
from ringsync.handle import Pending
from ringsync.runtime import engine_cell

_F = TypeVar("_F", bound=Callable[..., object])


def shortcut(
    collective: int, handle_type: type[Pending] | None = None, *, is_list: bool = False
) -> Callable[[_F], _F]:
    """Decorate a function so that its ordinary calls go straight to the engine.

    Ordinary are NumPy arrays and keywords of the types that the function names. It is called for
    everything else, and has to do the same with what is ordinary.

    Args:
        collective: What it does, of `Collective`.
        handle_type: What it returns if it does not block.
        is_list: It takes a list of arrays.

    Returns:
        The decorator. What it makes looks like the function, whose own code is `__wrapped__`.
    """

    def wrap(function: _F) -> _F:
        made = make_shortcut(
            function, engine_cell, collective, ReduceOp, ProcessGroup, handle_type, is_list
        )
        return cast(_F, update_wrapper(made, function))

    return wrap
