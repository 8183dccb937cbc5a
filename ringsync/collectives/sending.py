"""One rank's values on one other rank; the rest of the world takes no part."""

from __future__ import annotations

from ringsync._native import Terms
from ringsync.arrays import Array, as_source, as_target
from ringsync.collectives.call import rank_number, run, start
from ringsync.errors import ConfigError
from ringsync.handle import Handle
from ringsync.kinds import Collective
from ringsync.runtime import current
from ringsync.words import in_line


def send(x: object, to: int, *, name: str | None = None, timeout_s: float | None = None) -> None:
    """Give `x` to rank `to`, and return once that rank has it.

    What one rank sends another meets its receives in the order in which both call them, whatever
    each does meanwhile, in the other direction too. A blocking send ends with its receive, so ranks
    that send in a circle use `send_async`. A rank that has joined receives on other threads only;
    where it has none that does, a send to it waits for a stall or `timeout_s`.

    Args:
        x: Any shape and supported dtype, both as the receiver's.
        to: Another rank.
        name: Key under which the two calls meet, unique among what the two have in flight; without
            one they meet in the order of their calls.
        timeout_s: As for `allreduce`.

    Raises:
        ConfigError: `x` cannot be used, or `to` is no other rank.
        MismatchError: The two disagree on shape, dtype, device kind or name; no data has moved.
        PeerLostError: The other rank died.
        TimedOutError: Not complete in time.

    Cost: x.nbytes; up to 64 KiB, less on a host of many ranks, travel in one message.

    Example:
        >>> send(x, to=1) if rank() == 0 else recv(x, source=0)
    """
    terms = _sending("send", to)
    run("send", Collective.SEND, as_source(x, "send"), name, timeout_s, terms)


def send_async(
    x: object, to: int, *, name: str | None = None, timeout_s: float | None = None
) -> Handle:
    """Start a `send` and return at once.

    Args:
        x: As for `send`; not to be changed until the handle is done.
        to: As for `send`.
        name: As for `send`.
        timeout_s: As for `allreduce`.

    Returns:
        A handle that is done once rank `to` has the values; its `result()` is what was sent.

    Raises:
        ConfigError: `x` cannot be used, or `to` is no other rank.
        DuplicateNameError: An operation of this name is in flight between the two.
    """
    terms = _sending("send_async", to)
    return start("send_async", Collective.SEND, as_source(x, "send_async"), name, timeout_s, terms)


def recv(
    x: object, source: int, *, name: str | None = None, timeout_s: float | None = None
) -> Array:
    """Overwrite `x` with what rank `source` sends.

    Args:
        x: Writable and C-contiguous; shape and dtype as the sender's.
        source: Another rank.
        name: As for `send`.
        timeout_s: As for `allreduce`.

    Returns:
        `x` as a NumPy array.

    Raises:
        ConfigError: `x` cannot be used, or `source` is no other rank.
        MismatchError: The two disagree on shape, dtype, device kind or name; `x` is unchanged.
        PeerLostError: The other rank died; `x` is then unspecified.
        TimedOutError: Not complete in time; `x` is then unspecified.

    Cost: x.nbytes; up to 64 KiB, less on a host of many ranks, travel in one message.
    """
    terms = _receiving("recv", source)
    return run("recv", Collective.SEND, as_target(x, "recv"), name, timeout_s, terms)


def recv_async(
    x: object, source: int, *, name: str | None = None, timeout_s: float | None = None
) -> Handle:
    """Start a `recv` and return at once.

    Args:
        x: As for `recv`; not to be touched until the handle is done.
        source: As for `recv`.
        name: As for `send`.
        timeout_s: As for `allreduce`.

    Returns:
        A handle whose `result()` is `x`.

    Raises:
        ConfigError: `x` cannot be used, or `source` is no other rank.
        DuplicateNameError: An operation of this name is in flight between the two.
    """
    terms = _receiving("recv_async", source)
    return start("recv_async", Collective.SEND, as_target(x, "recv_async"), name, timeout_s, terms)


def _sending(place: str, to: int) -> Terms:
    return Terms(root=current().world.rank, peer=_other_rank(place, "to", to))


def _receiving(place: str, source: int) -> Terms:
    peer = _other_rank(place, "source", source)
    return Terms(root=peer, peer=peer)


def _other_rank(place: str, what: str, given: int) -> int:
    world = current().world
    rank = rank_number(given)
    if rank == world.rank or not 0 <= rank < world.size:
        raise ConfigError(
            f"[{place}] {what}={in_line(given)} on rank {world.rank}; another rank of the "
            f"{world.size} is expected. Name one of them."
        )
    return rank
