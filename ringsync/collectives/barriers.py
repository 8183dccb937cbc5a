"""Ranks waiting for one another."""

from __future__ import annotations

from ringsync.collectives.call import run, start
from ringsync.collectives.shortcuts import shortcut
from ringsync.group import ProcessGroup
from ringsync.handle import Handle
from ringsync.kinds import Collective


@shortcut(Collective.BARRIER)
def barrier(*, group: ProcessGroup | None = None, timeout_s: float | None = None) -> None:
    """Return once every rank has called this.

    Args:
        group: As for `allreduce`.
        timeout_s: As for `allreduce`.

    Raises:
        ConfigError: `group` or `timeout_s` cannot be used.
        MismatchError: Another rank submitted a different operation at this point.
        PeerLostError: A rank died.
        TimedOutError: Not complete in time.
    """
    run("barrier", Collective.BARRIER, None, None, timeout_s, group=group)


def barrier_async(*, group: ProcessGroup | None = None, timeout_s: float | None = None) -> Handle:
    """Start a `barrier` and return at once.

    Args:
        group: As for `allreduce`.
        timeout_s: As for `allreduce`.

    Returns:
        A handle that is done once every rank has called this.

    Raises:
        ConfigError: `group` or `timeout_s` cannot be used.
    """
    return start("barrier_async", Collective.BARRIER, None, None, timeout_s, group=group)
