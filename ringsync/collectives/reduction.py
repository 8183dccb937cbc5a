"""What a reduction asks for beside its array: the operation, and what values are multiplied by."""

from __future__ import annotations

import math
from numbers import Real
from typing import NoReturn

from ringsync._native import Terms
from ringsync.collectives.reduce_op import Adasum, ReduceOp
from ringsync.errors import ConfigError

# By number; not a dictionary, because an enum's hash is a function in Python.
_UNSCALED = tuple(Terms(op=op) for op in ReduceOp)


def reduction(
    place: str, op: ReduceOp, codec: str | None, prescale: float, postscale: float
) -> Terms:
    """Check what a reduction asks for.

    Args:
        place: The public function's name, for messages.
        op: As the caller gave it.
        codec: As the caller gave it.
        prescale: As the caller gave it.
        postscale: As the caller gave it.

    Returns:
        The terms of the call.

    Raises:
        ConfigError: One of them cannot be used.
    """
    if codec is not None or type(op) is not ReduceOp or op is Adasum:
        _refuse(place, op, codec)
    # The test of types alone keeps arrays out of the comparison.
    if type(prescale) is type(postscale) is float and prescale == postscale == 1.0:
        return _UNSCALED[op]
    return Terms(
        op=op,
        prescale=_checked_scale(place, "prescale", prescale),
        postscale=_checked_scale(place, "postscale", postscale),
    )


def _refuse(place: str, op: ReduceOp, codec: str | None) -> NoReturn:
    if codec is not None:
        raise ConfigError(
            f"[{place}] codec={codec!r} was given; no codec is built yet. Leave it None."
        )
    if not isinstance(op, ReduceOp):
        raise ConfigError(f"[{place}] op={op!r}; a ReduceOp is expected. Use rs.Average or rs.Sum.")
    raise ConfigError(
        f"[{place}] op={op.name} is not built yet; one of Average, Sum, Min, Max, Product is "
        "expected. Use one of them."
    )


def _checked_scale(place: str, which: str, scale: float) -> float:
    try:
        if isinstance(scale, Real) and math.isfinite(number := float(scale)):
            return number
    except OverflowError:  # an int beyond every float
        pass
    raise ConfigError(
        f"[{place}] {which}={scale!r}; a finite number is expected. Leave it out to scale by 1."
    )
