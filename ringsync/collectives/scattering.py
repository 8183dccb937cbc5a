"""Each rank its own part of what all ranks have."""

from __future__ import annotations

from ringsync.arrays import Array, as_source
from ringsync.collectives.call import Call, Collective
from ringsync.collectives.reduce_op import Average, ReduceOp
from ringsync.errors import ConfigError
from ringsync.handle import Handle


def reduce_scatter(
    x: object,
    *,
    op: ReduceOp = Average,
    name: str | None = None,
    timeout_s: float | None = None,
) -> Array:
    """Reduce `x` over all ranks; each rank returns its part of the rows.

    The first dimension is cut into n nearly equal parts, and rank r returns the r-th: rows
    r*rows//n to (r+1)*rows//n. With fewer rows than ranks some parts are empty.

    Args:
        x: At least one dimension; float32/float64/int32/int64. Shape and dtype equal on every rank.
            It is only read; where every rank's lies in registered memory (`empty`), ranks read each
            other's values in place.
        op: As for `allreduce`.
        name: As for `allreduce`.
        timeout_s: As for `allreduce`.

    Returns:
        A new array of `x`'s dtype and trailing dimensions. Values are added in rank order, so they
        do not depend on timing.

    Raises:
        ConfigError: `x` or `op` cannot be used.
        MismatchError: Ranks disagree on shape, dtype, op or order; no data has moved.
        PeerLostError: A rank died.
        TimedOutError: Not complete in time.

    Cost: (n-1)/n * x.nbytes sent per rank, in one step.

    Example:
        >>> mine = reduce_scatter(gradients)  # the rows of this rank
    """
    return _reduce_call("reduce_scatter", x, op, name, timeout_s).run()


def reduce_scatter_async(
    x: object,
    *,
    op: ReduceOp = Average,
    name: str | None = None,
    timeout_s: float | None = None,
) -> Handle:
    """Start a `reduce_scatter` and return at once.

    Args:
        x: As for `reduce_scatter`; not to be changed until the handle is done.
        op: As for `allreduce`.
        name: As for `allreduce`.
        timeout_s: As for `allreduce`.

    Returns:
        A handle whose `result()` is this rank's part; it also raises what `reduce_scatter` would.

    Raises:
        ConfigError: `x` or `op` cannot be used.
        DuplicateNameError: An operation of this name is in flight.
    """
    return _reduce_call("reduce_scatter_async", x, op, name, timeout_s).start()


def _reduce_call(
    place: str, x: object, op: ReduceOp, name: str | None, timeout_s: float | None
) -> Call:
    array = as_source(x, place)
    if array.ndim == 0:
        raise ConfigError(
            f"[{place}] a scalar has no first dimension to deal out. Pass x.reshape(1)."
        )
    return Call(place, Collective.REDUCE_SCATTER, array, name, timeout_s, op=op)
