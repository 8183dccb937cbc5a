"""One rank's values on every rank."""

from __future__ import annotations

from ringsync.arrays import Array, as_copy
from ringsync.collectives.call import rooted, run, start
from ringsync.group import ProcessGroup
from ringsync.handle import Handle
from ringsync.kinds import Collective


def broadcast(
    x: object,
    root: int = 0,
    *,
    name: str | None = None,
    group: ProcessGroup | None = None,
    timeout_s: float | None = None,
) -> Array:
    """Return `root`'s values on every rank.

    Args:
        x: Any shape and supported dtype, both equal on every rank, on the host or on a GPU; only
            `root`'s values matter.
        root: The rank whose values all get, by its number in the world, of a group as well.
        name: As for `allreduce`.
        group: As for `allreduce`.
        timeout_s: As for `allreduce`.

    Returns:
        A new array of `x`'s shape and dtype.

    Raises:
        ConfigError: `x` or `group` cannot be used, or `root` does not take part.
        MismatchError: Ranks disagree on shape, dtype, device kind or root.
        PeerLostError: A rank died.
        TimedOutError: Not complete in time.

    Cost: (n-1) * x.nbytes sent by the root, or log2(n) * x.nbytes where ranks pass it on.
    """
    array = as_copy(x, "broadcast")
    terms = rooted("broadcast", root, group)
    return run("broadcast", Collective.BROADCAST, array, name, timeout_s, terms, group)


def broadcast_(
    x: object,
    root: int = 0,
    *,
    name: str | None = None,
    group: ProcessGroup | None = None,
    timeout_s: float | None = None,
) -> Array:
    """Overwrite `x` with `root`'s values on every rank.

    Args:
        x: As for `broadcast`; writable and C-contiguous.
        root: As for `broadcast`.
        name: As for `allreduce`.
        group: As for `allreduce`.
        timeout_s: As for `allreduce`.

    Returns:
        `x` as a NumPy array.

    Raises:
        ConfigError: `x` or `group` cannot be used, or `root` does not take part.
        MismatchError: Ranks disagree on shape, dtype, device kind or root; `x` is unchanged.
        PeerLostError: A rank died; `x` is then unspecified.
        TimedOutError: Not complete in time; `x` is then unspecified.

    Cost: (n-1) * x.nbytes sent by the root, or log2(n) * x.nbytes where ranks pass it on.
    """
    terms = rooted("broadcast_", root, group)
    return run("broadcast_", Collective.BROADCAST, x, name, timeout_s, terms, group)


def broadcast_async(
    x: object,
    root: int = 0,
    *,
    name: str | None = None,
    group: ProcessGroup | None = None,
    timeout_s: float | None = None,
) -> Handle:
    """Start a `broadcast` and return at once.

    Args:
        x: As for `broadcast`; copied before this returns.
        root: As for `broadcast`.
        name: As for `allreduce`.
        group: As for `allreduce`.
        timeout_s: As for `allreduce`.

    Returns:
        A handle whose `result()` holds `root`'s values.

    Raises:
        ConfigError: `x` or `group` cannot be used, or `root` does not take part.
        DuplicateNameError: An operation of this name is in flight.
    """
    array = as_copy(x, "broadcast_async")
    terms = rooted("broadcast_async", root, group)
    return start("broadcast_async", Collective.BROADCAST, array, name, timeout_s, terms, group)


def broadcast_async_(
    x: object,
    root: int = 0,
    *,
    name: str | None = None,
    group: ProcessGroup | None = None,
    timeout_s: float | None = None,
) -> Handle:
    """Start a `broadcast_` and return at once.

    Args:
        x: As for `broadcast_`; not to be touched until the handle is done.
        root: As for `broadcast`.
        name: As for `allreduce`.
        group: As for `allreduce`.
        timeout_s: As for `allreduce`.

    Returns:
        A handle whose `result()` is `x`.

    Raises:
        ConfigError: `x` or `group` cannot be used, or `root` does not take part.
        DuplicateNameError: An operation of this name is in flight.
    """
    terms = rooted("broadcast_async_", root, group)
    return start("broadcast_async_", Collective.BROADCAST, x, name, timeout_s, terms, group)
