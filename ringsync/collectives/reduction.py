"""What a reduction asks for beside its array: the operation, and what values are multiplied by."""

from __future__ import annotations

import math
from numbers import Real
from typing import NoReturn

from ringsync._native import Terms
from ringsync.collectives.reduce_op import Adasum, ReduceOp
from ringsync.errors import ConfigError
from ringsync.words import in_line

# The native core keeps a codec's name in the call itself, in as many bytes with the last one zero.
_TOO_LONG = 16

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
    if type(op) is not ReduceOp or op is Adasum:
        _refuse(place, op)
    # The test of types alone keeps arrays out of the comparison.
    is_scaled = not (type(prescale) is type(postscale) is float and prescale == postscale == 1.0)
    if codec is None and not is_scaled:
        return _UNSCALED[op]
    return Terms(
        op=op,
        prescale=_checked_scale(place, "prescale", prescale),
        postscale=_checked_scale(place, "postscale", postscale),
        codec="" if codec is None else _checked_codec(place, codec),
    )


def _refuse(place: str, op: ReduceOp) -> NoReturn:
    if not isinstance(op, ReduceOp):
        raise ConfigError(
            f"[{place}] op={in_line(op)}; a ReduceOp is expected. Use rs.Average or rs.Sum."
        )
    raise ConfigError(
        f"[{place}] op={op.name} is not built yet; one of Average, Sum, Min, Max, Product is "
        "expected. Use one of them."
    )


def _checked_codec(place: str, codec: str) -> str:
    # None is built, which ranks find out together: one cannot know whether the others name one.
    is_text = isinstance(codec, str) and codec.isascii() and codec.isprintable()
    if is_text and 0 < len(codec) < _TOO_LONG:
        return codec
    raise ConfigError(
        f"[{place}] codec={in_line(codec)}; the name of one is expected. Leave it None."
    )


def _checked_scale(place: str, which: str, scale: float) -> float:
    try:
        if isinstance(scale, Real) and math.isfinite(number := float(scale)):
            return number
    except OverflowError:  # an int beyond every float
        pass
    raise ConfigError(
        f"[{place}] {which}={in_line(scale)}; a finite number is expected. Leave it out to scale "
        "by 1."
    )
