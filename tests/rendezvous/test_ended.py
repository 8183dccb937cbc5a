"""Ranks that meet are told of one that has ended, by the note that the launcher leaves."""

import signal
import socket
import threading

import pytest

from ringsync import _native
from ringsync.errors import RendezvousError
from ringsync.launch.ended import note_ended

from ..ranks import DEADLINE_S, side_by_side, until
from .meetings import come_as, meet_all, require_met


@pytest.mark.parametrize("ended", [0, 1, 2])
def test_a_rank_that_is_noted_to_have_ended_is_named_at_once_to_all_who_meet(place, ended):
    place.mkdir(mode=0o700)

    def work(index):
        if index == ended:
            if index != 0:
                until((place / "store").exists)
            return note_ended(place, ended, 3)
        return _native.meet(str(place), index, 3, DEADLINE_S)

    outcomes = side_by_side(3, work)
    words = f"rank {ended} of 3 ended with code 0 before it met the others in init"
    assert [words in str(outcome) for outcome in outcomes] == [n != ended for n in range(3)]


def test_a_rank_that_ended_before_the_others_came_is_named_at_once(place):
    place.mkdir(mode=0o700)
    note_ended(place, 1, 2)
    with pytest.raises(RendezvousError, match="rank 1 of 2 ended with code 0 before it met"):
        _native.meet(str(place), 0, 2, DEADLINE_S)


def test_a_rank_of_a_larger_job_that_has_ended_is_none_of_those_who_meet(place):
    place.mkdir(mode=0o700)
    note_ended(place, 1, 3)
    require_met(meet_all(place, 2))


def test_what_rank_0_replies_is_told_whatever_has_been_noted(place):
    place.mkdir(mode=0o700)
    note_ended(place, 2, 3)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(str(place / "store"))
        server.listen()

        def work(index):
            if index == 1:
                return _native.meet(str(place), 1, 3, DEADLINE_S)
            with server.accept()[0] as one:
                one.recv(4096)
                return one.send(b"-[rendezvous] two processes joined as rank 1 of 3.")

        outcome = side_by_side(2, work)[1]
    assert isinstance(outcome, RendezvousError)
    assert str(outcome) == "[rendezvous] two processes joined as rank 1 of 3."


def test_whoever_connects_in_time_and_joins_too_late_is_told_why_the_ranks_did_not_meet(place):
    place.mkdir(mode=0o700)
    told = []

    def come_late(*_):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as late:
            late.connect(str(place / "store"))
            come_as(place, 1, 3)  # whoever has answered this one has accepted the earlier one
            note_ended(place, 1, 2)
            until(lambda: not (place / "store").exists())
            late.send(b"J\x001 2")
            told.append(late.recv(4096).decode())

    # In rank 0's own thread, so that rank 0 serves until this is over.
    before = signal.signal(signal.SIGUSR1, come_late)
    knock = threading.Thread(
        target=lambda: (until((place / "store").exists), signal.raise_signal(signal.SIGUSR1))
    )
    knock.start()
    try:
        with pytest.raises(RendezvousError, match="rank 1 of 2 ended with code 0 before") as first:
            _native.meet(str(place), 0, 2, DEADLINE_S)
    finally:
        knock.join()
        signal.signal(signal.SIGUSR1, before)
    assert told == [f"-{first.value}"]
