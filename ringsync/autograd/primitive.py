"""What an operation is: one forward on raw arrays and one vector-Jacobian product per input.

Not for tensors, recording or gradients in passing: a rule never knows who calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Forward: TypeAlias = Callable[..., Any]
Vjp: TypeAlias = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Primitive:
    """One operation, as data; `PRIMITIVES` lists them all.

    Args:
        name: What messages and traces call it.
        forward: `forward(*inputs, **options) -> array`, without side effects.
        vjps: For each input, `vjp(gradient, output, *inputs, **options) -> array`, the gradient of
            that input from the gradient of the output; None where there is none to have (labels,
            indices). May return a view or `gradient` itself; must not write into what it is given.
            Arrays are NumPy's or CuPy's, all of one kind, and NumPy may give scalars for some.

    Example:
        >>> square = Primitive("square", lambda x: x * x, (lambda g, out, x: 2 * g * x,))
    """

    name: str
    forward: Forward
    vjps: tuple[Vjp | None, ...]


def primitive(*vjps: Vjp | None) -> Callable[[Forward], Primitive]:
    """Turn the decorated forward into a `Primitive` of the same name.

    Args:
        *vjps: One per input, in the order of the inputs.

    Returns:
        A decorator; a trailing underscore, there to spare a Python builtin, is not part of the
        primitive's name.

    Example:
        >>> @primitive(lambda g, out, x: -g)
        ... def neg(x):
        ...     return -x
    """

    def decorate(forward: Forward) -> Primitive:
        return Primitive(forward.__name__.rstrip("_"), forward, vjps)

    return decorate
