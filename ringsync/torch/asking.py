"""How Horovod's arguments become a call: names, ops and factors, checked as Horovod does."""

from __future__ import annotations

import contextlib
import math
import operator
import warnings
from typing import NoReturn, SupportsFloat, SupportsIndex

import numpy as np

from ringsync.collectives import Average, ReduceOp, Sum
from ringsync.collectives.call import Terms
from ringsync.collectives.reduction import reduction
from ringsync.words import in_line


def checked_op(place: str, op: ReduceOp | int | None, average: bool | None) -> ReduceOp:
    """Find out how several values become one, where Horovod's older way may have said it.

    Args:
        place: The public function's name, for messages.
        op: As the caller gave it.
        average: The older way.

    Returns:
        The op; Average if nothing was said.

    Raises:
        ValueError: Both were given, or `op` is none.
    """
    if average is None:
        return Average if op is None else checked_reduce_op(place, op)
    if op is not None:
        raise ValueError("The op parameter supersedes average. Please provide only one of them.")
    # Of who called the public function, below which this one lies.
    warnings.warn(
        "Parameter `average` has been replaced with `op`.", DeprecationWarning, stacklevel=3
    )
    return Average if average else Sum


def checked_reduce_op(place: str, op: ReduceOp | int) -> ReduceOp:
    """Find out how several values become one.

    Args:
        place: The public function's name, for messages.
        op: As the caller gave it; Horovod's constants are numbers.

    Returns:
        The op.

    Raises:
        ValueError: It is none.
    """
    try:
        return ReduceOp(op)
    except ValueError:
        raise ValueError(
            f"[{place}] op={in_line(op)} is none of {', '.join(ReduceOp.__members__)}. Pass, for "
            "example, op=hvd.Average."
        ) from None


def checked_number(place: str, word: str, value: object) -> float:
    """Check what something is multiplied or divided by.

    Args:
        place: The public function's name, for messages.
        word: The argument's name, likewise.
        value: As the caller gave it; whatever is one number, a tensor of one as well.

    Returns:
        It as a float.

    Raises:
        ValueError: It is no finite number.
    """
    # Text and bytes can be read as numbers, and have no value as one; NumPy's have a __float__.
    is_other = isinstance(value, str | bytes | np.complexfloating) or (
        isinstance(value, np.ndarray) and value.dtype.kind not in "biuf"
    )
    if isinstance(value, SupportsFloat | SupportsIndex) and not is_other:
        with contextlib.suppress(TypeError, ValueError, OverflowError, RuntimeError):
            number = float(value)  # not of several, and not of an int beyond every float
            if math.isfinite(number):
                return number
    raise ValueError(
        f"[{place}] {word}={in_line(value)} was given; a finite number is expected. Pass, for "
        f"example, {word}=0.5."
    )


def key_of(kind: str, name: str | None) -> str | None:
    """Name a call as Horovod does, so that equal names of unlike collectives do not meet.

    Args:
        kind: The collective.
        name: As the caller gave it.

    Returns:
        Key under which ranks meet; None pairs calls by order.
    """
    return None if name is None else f"{kind}.{name}"


def terms_of(place: str, op: ReduceOp, prescale: float, postscale: float) -> Terms:
    """Say what a reduction of values that are scaled already is asked for.

    Args:
        place: The public function's name, for messages.
        op: How several values become one.
        prescale: Factor that they have been multiplied by.
        postscale: Factor for the result.

    Returns:
        The terms of the call.
    """
    terms = reduction(place, op, None, 1.0, postscale)
    if prescale == 1:
        return terms
    # Ranks with unlike ones hear of it.
    return Terms(op=op, postscale=postscale, scaled_by=prescale)


def checked_passes(passes: int) -> int:
    """Check how many backward passes there are per exchange.

    Args:
        passes: As the caller gave it.

    Returns:
        It as an int.

    Raises:
        ValueError: It is no whole number above 0.
    """
    try:
        value = operator.index(passes)
    except TypeError:
        raise ValueError(
            f"[DistributedOptimizer] backward_passes_per_step={in_line(passes)} is no whole "
            "number. Pass how many backward passes come before a step()."
        ) from None
    if value <= 0:
        raise ValueError(f"backward_passes_per_step must be > 0, and is {value}")
    return value


def refuse_pass() -> NoReturn:
    """Refuse a backward pass beyond those that there are per exchange.

    Raises:
        AssertionError: Always.
    """
    raise AssertionError(
        "Gradients were computed more than backward_passes_per_step times before call to step(). "
        "Increase backward_passes_per_step to accumulate gradients locally."
    )
