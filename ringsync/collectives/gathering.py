"""Every rank's values on every rank."""

from __future__ import annotations

from ringsync.arrays import Array, as_source
from ringsync.collectives.call import run, start
from ringsync.errors import ConfigError
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
        ConfigError: `x` or `group` cannot be used.
        MismatchError: Ranks disagree on dtype or trailing dimensions.
        PeerLostError: A rank died.
        TimedOutError: Not complete in time.

    Cost: (n-1) * x.nbytes sent per rank.
    """
    rows = rows_of("allgather", x)
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
    rows = rows_of("allgather_async", x)
    return start("allgather_async", Collective.ALLGATHER, rows, name, timeout_s, group=group)


def rows_of(place: str, x: object) -> Array:
    """View `x` as rows.

    Args:
        place: The public function's name, for messages.
        x: As for `allgather`.

    Returns:
        A C-contiguous array of one dimension or more.

    Raises:
        ConfigError: `x` cannot be used.
    """
    array = as_source(x, place)
    if array.ndim == 0:
        raise ConfigError(f"[{place}] a scalar has no first dimension. Pass x.reshape(1).")
    return array
