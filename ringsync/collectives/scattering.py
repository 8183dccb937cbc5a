"""Each rank its own part of what all ranks have."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from ringsync._native import Terms
from ringsync.arrays import Array, as_source
from ringsync.collectives.call import run, start
from ringsync.collectives.reduce_op import Average, ReduceOp
from ringsync.collectives.reduction import reduction
from ringsync.device_arrays import DeviceArray
from ringsync.errors import ConfigError
from ringsync.group import ProcessGroup, ranks_of
from ringsync.handle import Handle
from ringsync.kinds import Collective
from ringsync.words import in_line


def reduce_scatter(
    x: object,
    *,
    op: ReduceOp = Average,
    name: str | None = None,
    group: ProcessGroup | None = None,
    timeout_s: float | None = None,
) -> Array:
    """Reduce `x` over all ranks; each rank returns its part of the rows.

    The first dimension is cut into n nearly equal parts, and rank r returns the r-th: the first
    rows % n parts are a row longer, as `numpy.array_split` cuts. With fewer rows than ranks the
    last parts are empty. In a group ranks count by their place in it.

    Args:
        x: At least one dimension; dtypes as for `allreduce`. Shape and dtype equal on every rank.
            It is only read; where every rank's lies in registered memory (`empty`), ranks read each
            other's values in place.
        op: As for `allreduce`.
        name: As for `allreduce`.
        group: As for `allreduce`.
        timeout_s: As for `allreduce`.

    Returns:
        A new array of `x`'s dtype and trailing dimensions. Values are added in rank order, so they
        do not depend on timing.

    Raises:
        ConfigError: `x`, `op` or `group` cannot be used; on all ranks `x` is a scalar, or on a
            device to which there is no way.
        MismatchError: Ranks disagree on shape, dtype, device kind, op or order; no data has moved.
        PeerLostError: A rank died.
        TimedOutError: Not complete in time.

    Cost: (n-1)/n * x.nbytes sent per rank, in one step.

    Example:
        >>> mine = reduce_scatter(gradients)  # the rows of this rank
    """
    rows = as_source(x, "reduce_scatter")
    terms = reduction("reduce_scatter", op, None, 1.0, 1.0)
    return run("reduce_scatter", Collective.REDUCE_SCATTER, rows, name, timeout_s, terms, group)


def reduce_scatter_async(
    x: object,
    *,
    op: ReduceOp = Average,
    name: str | None = None,
    group: ProcessGroup | None = None,
    timeout_s: float | None = None,
) -> Handle:
    """Start a `reduce_scatter` and return at once.

    Args:
        x: As for `reduce_scatter`; not to be changed until the handle is done.
        op: As for `allreduce`.
        name: As for `allreduce`.
        group: As for `allreduce`.
        timeout_s: As for `allreduce`.

    Returns:
        A handle whose `result()` is this rank's part; it also raises what `reduce_scatter` would.

    Raises:
        ConfigError: `x`, `op` or `group` cannot be used.
        DuplicateNameError: An operation of this name is in flight.
    """
    rows = as_source(x, "reduce_scatter_async")
    terms = reduction("reduce_scatter_async", op, None, 1.0, 1.0)
    return start(
        "reduce_scatter_async", Collective.REDUCE_SCATTER, rows, name, timeout_s, terms, group
    )


def alltoall(
    x: object,
    splits: Sequence[int] | None = None,
    *,
    name: str | None = None,
    group: ProcessGroup | None = None,
    timeout_s: float | None = None,
) -> Array:
    """Send each rank its own rows of `x`, and return what all ranks had for this one.

    Args:
        x: At least one dimension; any supported dtype. The first dimension may differ between
            ranks, the others and the dtype may not. It is only read.
        splits: Rows for each rank that takes part, in rank order: n numbers from 0 whose sum is
            the length of the first dimension. They may differ from rank to rank. None cuts evenly.
        name: As for `allreduce`.
        group: As for `allreduce`.
        timeout_s: As for `allreduce`.

    Returns:
        A new array: the rows from rank 0, then those from rank 1 and so on.

    Raises:
        ConfigError: `x`, `splits` or `group` cannot be used, `splits` is None and the ranks do not
            divide the rows, or on all ranks `x` is a scalar, or on a device to
            which there is no way.
        MismatchError: Ranks disagree on dtype, device kind, trailing dimensions or order; no data
            has moved.
        PeerLostError: A rank died.
        TimedOutError: Not complete in time.

    Cost: What is meant for other ranks is sent, in one step.

    Example:
        >>> mine = alltoall(rows, splits=[3, 0, 1])  # 3 to rank 0, 1 to rank 2
    """
    rows = as_source(x, "alltoall")
    terms = _cut("alltoall", rows, splits, group)
    return run("alltoall", Collective.ALLTOALL, rows, name, timeout_s, terms, group)


def alltoall_async(
    x: object,
    splits: Sequence[int] | None = None,
    *,
    name: str | None = None,
    group: ProcessGroup | None = None,
    timeout_s: float | None = None,
) -> Handle:
    """Start an `alltoall` and return at once.

    Args:
        x: As for `alltoall`; not to be changed until the handle is done.
        splits: As for `alltoall`.
        name: As for `allreduce`.
        group: As for `allreduce`.
        timeout_s: As for `allreduce`.

    Returns:
        A handle whose `result()` is what all ranks had for this one; it also raises what
        `alltoall` would.

    Raises:
        ConfigError: `x`, `splits` or `group` cannot be used.
        DuplicateNameError: An operation of this name is in flight.
    """
    rows = as_source(x, "alltoall_async")
    terms = _cut("alltoall_async", rows, splits, group)
    return start("alltoall_async", Collective.ALLTOALL, rows, name, timeout_s, terms, group)


def _cut(
    place: str,
    rows: Array | DeviceArray,
    splits: Sequence[int] | None,
    group: ProcessGroup | None,
) -> Terms:
    size = len(ranks_of(place, group))
    is_known = not isinstance(rows, DeviceArray) or rows.is_described
    if not is_known or not rows.shape:
        return Terms(splits=(0,) * size)  # refused on all ranks at once
    length = rows.shape[0]
    cut = _even(place, length, size) if splits is None else _checked(place, splits)
    if len(cut) != size or min(cut) < 0 or sum(cut) != length:
        raise ConfigError(
            f"[{place}] splits={in_line(splits)} do not cut {length} rows; {size} numbers "
            "from 0 with that sum are expected. Give the rows for each rank."
        )
    return Terms(splits=cut)


def _even(place: str, rows: int, size: int) -> tuple[int, ...]:
    if rows % size:
        raise ConfigError(
            f"[{place}] {rows} rows cannot be cut evenly for {size} ranks; a multiple is expected. "
            "Pass splits=, the rows for each rank."
        )
    return (rows // size,) * size


def _checked(place: str, splits: Sequence[int]) -> tuple[int, ...]:
    try:
        return tuple(operator.index(rows) for rows in splits)
    except TypeError as error:
        raise ConfigError(
            f"[{place}] splits={in_line(splits)}; a sequence of whole numbers is expected, or "
            "None. Give the rows for each rank."
        ) from error
