"""The native core's numbers for what ranks do together."""

from __future__ import annotations

from enum import IntEnum


class Collective(IntEnum):
    """The collectives."""

    ALLREDUCE = 0
    ALLGATHER = 1
    BROADCAST = 2
    BARRIER = 3
    REDUCE_SCATTER = 4
    ALLTOALL = 5
    SEND = 6
