"""Ranks as threads that meet, whoever comes among them, and proof that they have met."""

import socket

from ringsync import _native

from ..ranks import DEADLINE_S, side_by_side, values_of


def meet_all(place, size, timeout_s=DEADLINE_S):
    return side_by_side(size, lambda rank: _native.meet(str(place), rank, size, timeout_s))


def require_met(stores):
    """The stores are one store."""
    for rank, store in enumerate(values_of(stores)):
        store.set(f"met/{rank}", b"%d" % rank)
    for store in stores:
        for rank in range(len(stores)):
            assert store.get(f"met/{rank}", 5.0) == b"%d" % rank


def come_as(place, rank, size):
    """What a process hears at once that says it is this rank."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as one:
        one.connect(str(place / "store"))
        one.send(b"J\0%d %d" % (rank, size))
        return one.recv(4096)
