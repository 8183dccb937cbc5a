"""Ranks that have nothing more to do while others still have."""

from __future__ import annotations

import numpy as np

from ringsync.collectives.call import run
from ringsync.kinds import Collective
from ringsync.runtime import current


def join(*, timeout_s: float | None = None) -> int:
    """Take part with zeros in what the others do, until every rank has called this.

    For uneven work: a rank whose data are used up calls it, and the others go on. Meanwhile a sum
    is that of the ranks that have not joined, an `Average` still divides it by the number of all
    ranks, and a barrier waits for nobody who has joined; that holds for every form of `allreduce`
    and for `reduce_scatter`. Whatever else the others call (`Min`, `Max`, `Product`, `allgather`,
    `broadcast`, `alltoall`) is a `MismatchError` there and nothing here. Can be called again once
    it has returned.

    Operations that this rank has in flight are completed first, so the others have to call those
    too. It concerns what all ranks of the world do together. Process groups, `send` and `recv` know
    no zeros and wait for the ranks that they need; other threads of a rank that has joined can
    still call those, and nothing else.

    Args:
        timeout_s: Seconds from this call, or from the last operation in which this rank took part;
            None means RINGSYNC_TIMEOUT_S, without which only a stall ends the call.

    Returns:
        The number of the rank that joined last, equal on every rank: its parameters have seen most.
        Of ranks between whose calls the others did nothing, the one whose call was the last.

    Raises:
        ConfigError: `timeout_s` cannot be used, or another thread of this rank has joined.
        PeerLostError: A rank died.
        TimedOutError: The others neither did anything nor joined in time.

    Cost: As much as to take part: zeros are sent and received through queues, even where memory is
        registered; up to 64 KiB nothing is. While a rank has joined, small operations travel one at
        a time.

    Example:
        >>> for x, y in batches:
        ...     train(x, y)
        >>> broadcast_parameters(net, root=join())
    """
    last = np.zeros(1, np.int64)
    run("join", Collective.JOIN, last, None, timeout_s)
    runtime = current()
    # Until here ranks have not made the same steps; none is under way on a rank that has no more.
    runtime.equal_starts.add(range(runtime.world.size), is_under_way=False)
    return int(last[0])
