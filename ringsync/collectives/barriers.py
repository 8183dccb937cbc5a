"""Ranks waiting for one another."""

from __future__ import annotations

from ringsync.collectives.call import run, start
from ringsync.collectives.shortcuts import shortcut
from ringsync.handle import Handle
from ringsync.kinds import Collective


@shortcut(Collective.BARRIER)
def barrier(*, timeout_s: float | None = None) -> None:
    """Return once every rank has called this.

    Args:
        timeout_s: As for `allreduce`.

    Raises:
        MismatchError: Another rank submitted a different operation at this point.
        PeerLostError: A rank died.
        TimedOutError: Not complete in time.
    """
    run("barrier", Collective.BARRIER, None, None, timeout_s)


def barrier_async(*, timeout_s: float | None = None) -> Handle:
    """Start a `barrier` and return at once.

    Args:
        timeout_s: As for `allreduce`.

    Returns:
        A handle that is done once every rank has called this.

    Raises:
        ConfigError: `timeout_s` cannot be used.
    """
    return start("barrier_async", Collective.BARRIER, None, None, timeout_s)
