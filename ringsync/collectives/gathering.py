"""Every rank's values on every rank."""

from __future__ import annotations

from ringsync.arrays import Array, as_source
from ringsync.collectives.call import Call, Collective
from ringsync.errors import ConfigError
from ringsync.handle import Handle


def allgather(x: object, *, name: str | None = None, timeout_s: float | None = None) -> Array:
    """Concatenate every rank's `x` along the first dimension, in rank order.

    Args:
        x: At least one dimension; any supported dtype. The first dimension may differ between
            ranks, the others and the dtype may not.
        name: As for `allreduce`.
        timeout_s: As for `allreduce`.

    Returns:
        A new array, equal on every rank.

    Raises:
        ConfigError: `x` cannot be used.
        MismatchError: Ranks disagree on dtype or trailing dimensions.
        PeerLostError: A rank died.
        TimedOutError: Not complete in time.

    Cost: (n-1) * x.nbytes sent per rank.
    """
    return gather_call("allgather", x, name, timeout_s).run()


def allgather_async(
    x: object, *, name: str | None = None, timeout_s: float | None = None
) -> Handle:
    """Start an `allgather` and return at once.

    Args:
        x: As for `allgather`; not to be changed until the handle is done.
        name: As for `allreduce`.
        timeout_s: As for `allreduce`.

    Returns:
        A handle whose `result()` is the concatenation; it also raises what `allgather` would.

    Raises:
        ConfigError: `x` cannot be used.
        DuplicateNameError: An operation of this name is in flight.
    """
    return gather_call("allgather_async", x, name, timeout_s).start()


def gather_call(
    place: str, x: object, name: str | None, timeout_s: float | None, root: int = 0
) -> Call:
    """Prepare an allgather.

    Args:
        place: The public function's name, for messages.
        x: As for `allgather`.
        name: As for `allgather`.
        timeout_s: As for `allgather`.
        root: A rank on which all must agree, for gathers that serve one.

    Returns:
        The call, to be run or started.

    Raises:
        ConfigError: `x` cannot be used, or there is no rank `root`.
    """
    array = as_source(x, place)
    if array.ndim == 0:
        raise ConfigError(
            f"[{place}] a scalar has no first dimension to concatenate along. Pass x.reshape(1)."
        )
    return Call(place, Collective.ALLGATHER, array, name, timeout_s, root=root)
