"""Ranks that meet are told of one that has ended, by the note that the launcher leaves."""

import pytest

from ringsync import _native
from ringsync.errors import RendezvousError
from ringsync.launch.directories import note_ended

from ..ranks import DEADLINE_S, side_by_side, until
from .meetings import meet_all, require_met


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
