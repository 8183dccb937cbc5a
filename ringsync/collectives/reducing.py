"""Reductions over all ranks."""

from __future__ import annotations

from ringsync.arrays import Array, as_copy
from ringsync.collectives.call import run, start
from ringsync.collectives.reduce_op import Average, ReduceOp
from ringsync.collectives.reduction import reduction
from ringsync.collectives.shortcuts import shortcut
from ringsync.group import ProcessGroup
from ringsync.handle import Handle
from ringsync.kinds import Collective


def allreduce(
    x: object,
    *,
    op: ReduceOp = Average,
    name: str | None = None,
    group: ProcessGroup | None = None,
    codec: str | None = None,
    prescale: float = 1.0,
    postscale: float = 1.0,
    timeout_s: float | None = None,
) -> Array:
    """Reduce `x` over all ranks; every rank returns the same values.

    Args:
        x: Any shape; float16/bfloat16/float32/float64/int8/int16/int32/int64/uint8/bool; on the
            host, or on a GPU (docs/gpu.md). Shape, dtype and device kind equal on every rank.
            float16 and bfloat16 (of ml_dtypes) are added in float32 and rounded where a rank hands
            on its result. bool is for `Min` (all) and `Max` (any) only.
        op: `Average`, `Sum`, `Min`, `Max` or `Product`. Integers wrap where their sum or product
            overflows; an integer average divides truly and truncates toward zero. NaN on any rank
            is the result of `Min` and `Max`, and -0 is below +0.
        name: Key under which ranks meet, unique among operations in flight; None pairs calls by
            order.
        group: Of `new_group`, this rank among its ranks: reduce over those alone. None: all ranks.
        codec: Form on the wire, equal on every rank; only None so far.
        prescale: What every rank's values are multiplied by first; finite, equal on every rank.
            It is not applied to the values themselves but, with `postscale`, as one factor to the
            result (its n-th power to a product; below 0, `Min` and `Max` change places). Integers
            are multiplied in float64, truncated toward zero and kept in range. Not for bool.
        postscale: What the result is multiplied by, as `prescale`.
        timeout_s: Seconds from this call; None means RINGSYNC_TIMEOUT_S, without which only a
            stall ends it.

    Returns:
        A new array of `x`'s shape and dtype.

    Raises:
        ConfigError: `x`, `op`, `group`, `codec` or a scale cannot be used; or on all
            ranks `x` is on a device to which there is no way, or all name a codec.
        MismatchError: Ranks disagree on shape, dtype, device kind, op, scales, codec or order; no
            data has moved.
        PeerLostError: A rank died; its number is in `.rank`.
        TimedOutError: Not complete in time; the message lists the missing ranks.

    Cost: 2(n-1)/n * x.nbytes sent per rank, (n-1) * x.nbytes up to 64 KiB, and a copy of `x`.
    Source: Patarasuk & Yuan, JPDC 69(2):117-124, 2009, doi:10.1016/j.jpdc.2008.09.002.

    Example:
        >>> mean = allreduce(gradient, name="fc1.weight")
    """
    array = as_copy(x, "allreduce")
    terms = reduction("allreduce", op, codec, prescale, postscale)
    return run("allreduce", Collective.ALLREDUCE, array, name, timeout_s, terms, group)


@shortcut(Collective.ALLREDUCE)
def allreduce_(
    x: object,
    *,
    op: ReduceOp = Average,
    name: str | None = None,
    group: ProcessGroup | None = None,
    codec: str | None = None,
    prescale: float = 1.0,
    postscale: float = 1.0,
    timeout_s: float | None = None,
) -> Array:
    """Reduce `x` over all ranks in place.

    Args:
        x: As for `allreduce`; writable and C-contiguous. Where every rank's lies in registered
            memory (`empty`), ranks read each other's values in place and nothing is copied.
        op: As for `allreduce`.
        name: As for `allreduce`.
        group: As for `allreduce`.
        codec: As for `allreduce`.
        prescale: As for `allreduce`.
        postscale: As for `allreduce`.
        timeout_s: As for `allreduce`.

    Returns:
        `x` as a NumPy array.

    Raises:
        ConfigError: `x`, `op`, `group`, `codec` or a scale cannot be used.
        MismatchError: As for `allreduce`; `x` is unchanged.
        PeerLostError: A rank died; `x` is then unspecified.
        TimedOutError: Not complete in time; `x` is then unspecified.

    Cost: 2(n-1)/n * x.nbytes sent per rank, (n-1) * x.nbytes up to 64 KiB.
    """
    terms = reduction("allreduce_", op, codec, prescale, postscale)
    return run("allreduce_", Collective.ALLREDUCE, x, name, timeout_s, terms, group)


def allreduce_async(
    x: object,
    *,
    op: ReduceOp = Average,
    name: str | None = None,
    group: ProcessGroup | None = None,
    codec: str | None = None,
    prescale: float = 1.0,
    postscale: float = 1.0,
    timeout_s: float | None = None,
) -> Handle:
    """Start an `allreduce` and return at once.

    Args:
        x: As for `allreduce`; copied before this returns.
        op: As for `allreduce`.
        name: As for `allreduce`.
        group: As for `allreduce`.
        codec: As for `allreduce`.
        prescale: As for `allreduce`.
        postscale: As for `allreduce`.
        timeout_s: As for `allreduce`.

    Returns:
        A handle whose `result()` is the reduced array; it also raises what `allreduce` would.

    Raises:
        ConfigError: `x`, `op`, `group`, `codec` or a scale cannot be used.
        DuplicateNameError: An operation of this name is in flight.
    """
    array = as_copy(x, "allreduce_async")
    terms = reduction("allreduce_async", op, codec, prescale, postscale)
    return start("allreduce_async", Collective.ALLREDUCE, array, name, timeout_s, terms, group)


@shortcut(Collective.ALLREDUCE, Handle)
def allreduce_async_(
    x: object,
    *,
    op: ReduceOp = Average,
    name: str | None = None,
    group: ProcessGroup | None = None,
    codec: str | None = None,
    prescale: float = 1.0,
    postscale: float = 1.0,
    timeout_s: float | None = None,
) -> Handle:
    """Start an `allreduce_` and return at once.

    Args:
        x: As for `allreduce_`; not to be touched until the handle is done.
        op: As for `allreduce`.
        name: As for `allreduce`.
        group: As for `allreduce`.
        codec: As for `allreduce`.
        prescale: As for `allreduce`.
        postscale: As for `allreduce`.
        timeout_s: As for `allreduce`.

    Returns:
        A handle whose `result()` is `x`; it also raises what `allreduce_` would.

    Raises:
        ConfigError: `x`, `op`, `group`, `codec` or a scale cannot be used.
        DuplicateNameError: An operation of this name is in flight.
    """
    terms = reduction("allreduce_async_", op, codec, prescale, postscale)
    return start("allreduce_async_", Collective.ALLREDUCE, x, name, timeout_s, terms, group)
