"""Every rank's values on every rank."""

from __future__ import annotations

from ringsync.arrays import Array, as_source
from ringsync.collectives.call import run, start
from ringsync.group import ProcessGroup
from ringsync.handle import Handle
from ringsync.kinds import Collective


def allgather(
    x: object,
    *,
    name: str | None = None,
    group: ProcessGroup | None = None,
    timeout_s: float | None = None,
) -> Array:
    """Concatenate every rank's `x` along the first dimension, in rank order.

    Args:
        x: At least one dimension; any supported dtype. The first dimension may differ between
            ranks, the others and the dtype may not.
        name: As for `allreduce`.
        group: As for `allreduce`.
        timeout_s: As for `allreduce`.

    Returns:
        A new array, equal on every rank.

    Raises:
        ConfigError: `x` or `group` cannot be used; on all ranks `x` is a scalar, or on a device
            to which there is no way.
        MismatchError: Ranks disagree on dtype, device kind or trailing dimensions, or some pass a
            scalar.
        PeerLostError: A rank died.
        TimedOutError: Not complete in time.

    Cost: (n-1) * x.nbytes sent per rank.
    """
    rows = as_source(x, "allgather")
    return run("allgather", Collective.ALLGATHER, rows, name, timeout_s, group=group)


def allgather_async(
    x: object,
    *,
    name: str | None = None,
    group: ProcessGroup | None = None,
    timeout_s: float | None = None,
) -> Handle:
    """Start an `allgather` and return at once.

    Args:
        x: As for `allgather`; not to be changed until the handle is done.
        name: As for `allreduce`.
        group: As for `allreduce`.
        timeout_s: As for `allreduce`.

    Returns:
        A handle whose `result()` is the concatenation; it also raises what `allgather` would.

    Raises:
        ConfigError: `x` or `group` cannot be used.
        DuplicateNameError: An operation of this name is in flight.
    """
    rows = as_source(x, "allgather_async")
    return start("allgather_async", Collective.ALLGATHER, rows, name, timeout_s, group=group)
