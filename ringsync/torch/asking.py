"""How Horovod's arguments become a call: names, ops and factors, checked as Horovod does."""

from __future__ import annotations

import warnings

from ringsync._native import Terms
from ringsync.collectives import ReduceOp
from ringsync.collectives.reduction import reduction

Average = ReduceOp.Average
Sum = ReduceOp.Sum
Adasum = ReduceOp.Adasum
Min = ReduceOp.Min
Max = ReduceOp.Max
Product = ReduceOp.Product


def checked_op(op: ReduceOp | int | None, average: bool | None) -> ReduceOp:
    """Find out how several values become one.

    Args:
        op: As the caller gave it.
        average: Horovod's older way to say it.

    Returns:
        The op; Average if nothing was said.

    Raises:
        ValueError: Both were given, or `op` is none.
    """
    if average is not None:
        if op is not None:
            raise ValueError(
                "The op parameter supersedes average. Please provide only one of them."
            )
        warnings.warn(
            "Parameter `average` has been replaced with `op`.", DeprecationWarning, stacklevel=4
        )
        return Average if average else Sum
    return Average if op is None else ReduceOp(op)


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
    """Say what a reduction is asked for.

    Args:
        place: The public function's name, for messages.
        op: How several values become one.
        prescale: Factor before.
        postscale: Factor after.

    Returns:
        The terms of the call.

    Raises:
        ValueError: A factor cannot be used.
    """
    return reduction(place, op, None, float(prescale), float(postscale))
