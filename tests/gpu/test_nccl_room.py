"""A device has room for the kernels of all communicators at once, or some groups go without NCCL.

On the simulated device, with the fake NCCL.
"""

import pytest

from ..ranks import until
from .nccl_ways import ways, ways_of

MOST = 4


def fill(simulated, made):
    """As many groups of two ranks as their devices have room for, all of them joined."""
    groups = [made.group(0, 1) for _ in range(MOST)]
    for group in groups:
        until(lambda group=group: ways_of(simulated, made, group) == {"nccl"})
    return groups


def lacks_room(rank):
    return (
        f"rank {rank} is in 4 other groups that have NCCL, and its device has no room "
        "for one more. Close a group before another one is made.\n"
    )


@pytest.mark.parametrize("members", [(0, 1), (1, 2), (0, 2)], ids=str)
def test_a_group_that_finds_no_room_is_told_once_and_sums_as_before(
    simulated, joined, capfd, members
):
    fill(simulated, joined)
    assert capfd.readouterr().err == ""
    group = joined.group(*members)
    told = ""

    def is_told():
        nonlocal told
        assert ways_of(simulated, joined, group) == {"run"}
        told += capfd.readouterr().err
        return told

    until(is_told)
    assert ways_of(simulated, joined, group) == {"run"}
    assert ways(simulated, joined) == {"nccl"}
    told += capfd.readouterr().err
    assert told.endswith(f" without NCCL: {lacks_room(members[0])}")
    assert told.count("\n") == 1


def test_a_group_that_comes_after_another_was_closed_has_room(simulated, joined):
    groups = fill(simulated, joined)
    for group in groups[:2]:
        group.close_all()
        new = joined.group(0, 1)
        until(lambda new=new: ways_of(simulated, joined, new) == {"nccl"})


def test_a_group_that_does_not_join_takes_no_room(simulated, joined, capfd):
    groups = [joined.group(0, 1) for _ in range(MOST - 1)]
    for group in groups:
        until(lambda group=group: ways_of(simulated, joined, group) == {"nccl"})
    # Then rank 1 is in as many as it can be, and rank 0 is not.
    other = joined.group(1, 2)
    until(lambda: ways_of(simulated, joined, other) == {"nccl"})
    refused = joined.group(0, 1)

    def is_told():
        assert ways_of(simulated, joined, refused) == {"run"}
        return lacks_room(1) in capfd.readouterr().err

    until(is_told)
    last = joined.group(0, 2)
    until(lambda: ways_of(simulated, joined, last) == {"nccl"})


def test_the_world_takes_as_many_blocks_as_nccl_likes_and_groups_take_few(
    simulated, begin_with_nccl, faults
):
    faults("ctas=0")
    with begin_with_nccl() as made:
        until(lambda: ways(simulated, made) == {"nccl"})
        faults("ctas=16")
        group = made.group(0, 1)
        until(lambda: ways_of(simulated, made, group) == {"nccl"})
