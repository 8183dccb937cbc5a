"""A communicator that somebody else has made is used for a group's sums, and left as it was.

On the simulated device, with the fake NCCL.
"""

import contextlib
import ctypes
import time

import numpy as np
import pytest

from bench.device.plugin import find_plugin
from ringsync.errors import (
    ConfigError,
    NotInitializedError,
    PeerLostError,
    RingsyncError,
    TimedOutError,
)

from ..ranks import DEADLINE_S, Collective, Op, finish, side_by_side, until, values_of, world
from .arrays import OnDevice, seen
from .conftest import compile_library
from .nccl_owner import Owner
from .nccl_rank import held
from .nccl_ways import F32, LARGE, N, watched, ways, ways_of
from .test_nccl_library import FAKE, changed


def join_all(owner, size):
    unique_id = owner.make_id()
    return values_of(side_by_side(size, lambda rank: owner.join(size, unique_id, rank)))


@contextlib.contextmanager
def communicators(size=N, owner=None):
    """One communicator, by rank."""
    made = join_all(owner or Owner(), size)
    yield made
    for one in made:
        one.abort()


def adopt(rank, communicator, *, group=0, maker=None):
    rank.engine.adopt_nccl(group, communicator.comm, str(maker or FAKE))


def require_owners_work(made):
    """Each rank sums by its own end of the communicator."""
    ones = np.ones(1000, F32)
    for result in values_of(side_by_side(len(made), lambda rank: made[rank].sum(ones))):
        assert (result == len(made)).all()


@pytest.fixture
def adopted(begin_with_nccl, simulated):
    """A world that sums by somebody else's communicator."""
    with communicators() as owned, begin_with_nccl() as made:
        made.each(lambda rank: adopt(rank, owned[rank.rank]))
        until(lambda: ways(simulated, made) == {"nccl"})
        yield made


# Where a communicator of its own could not be had.
ADOPTED_ONLY = "id=fail"


def test_sums_go_through_the_adopted_one(simulated, begin_with_nccl, faults):
    with communicators() as owned, begin_with_nccl() as made:
        faults(ADOPTED_ONLY)
        made.each(lambda rank: adopt(rank, owned[rank.rank]))
        until(lambda: ways(simulated, made) == {"nccl"})


@pytest.mark.parametrize("how", [{}, {"op": Op.AVERAGE}, {"postscale": 2.0}], ids=str)
@pytest.mark.parametrize("count", [LARGE, 2_500_001])
def test_values_are_those_of_numpy(simulated, adopted, how, count):
    arrays = [OnDevice(simulated, np.full(count, 3.0 * rank, F32)) for rank in range(N)]
    _, found = watched(adopted, lambda rank: rank.allreduce(seen(arrays[rank.rank]), **how))
    factor = 1 / N if "op" in how else how.get("postscale", 1.0)
    assert all((array.get() == 9 * factor).all() for array in arrays)
    assert found == {"nccl"}


def test_it_still_works_for_its_owner_between_calls_and_after_shutdown(simulated, begin_with_nccl):
    with communicators() as owned:
        with begin_with_nccl() as made:
            made.each(lambda rank: adopt(rank, owned[rank.rank]))
            until(lambda: ways(simulated, made) == {"nccl"})
            require_owners_work(owned)
        require_owners_work(owned)


def test_a_group_gives_it_back_to_the_next_one(simulated, joined):
    with communicators(2) as owned:
        for _ in range(2):
            group = joined.group(0, 2)
            for member in group.members:
                one = owned[member // 2]
                adopt(joined.ranks[member], one, group=group.number[member])
            until(lambda group=group: ways_of(simulated, joined, group) == {"nccl"})
            group.close_all()
        require_owners_work(owned)


@pytest.mark.parametrize(
    ("adopting", "words"),
    [
        ({0}, "rank 1 has not adopted a communicator, rank 0 has"),
        ({1, 2}, "rank 1 has adopted a communicator, rank 0 has not"),
    ],
)
def test_unlike_adoption_is_told_once_and_work_goes_on(
    simulated, begin_with_nccl, capfd, adopting, words
):
    with communicators() as owned, begin_with_nccl() as made:
        before = held()
        for rank in adopting:
            adopt(made.ranks[rank], owned[rank])
        told = ""

        def is_told():
            nonlocal told
            assert ways(simulated, made) == {"run"}
            told += capfd.readouterr().err
            return told

        until(is_told)
        assert ways(simulated, made) == {"run"}
        told += capfd.readouterr().err
        assert held() == before  # nobody waits for ranks that will not come
    assert told == (
        f"[ringsync] rank 0 of {N} sums arrays on devices without NCCL: {words}. Adopt one on all "
        "ranks or on none.\n"
    )


def test_ranks_of_a_group_are_named_by_their_numbers_in_the_world(
    simulated, begin_with_nccl, capfd
):
    with communicators(2) as owned, begin_with_nccl() as made:
        group = made.group(1, 2)
        adopt(made.ranks[2], owned[1], group=group.number[2])
        told = ""

        def is_told():
            nonlocal told
            assert ways_of(simulated, made, group) == {"run"}
            told += capfd.readouterr().err
            return told

        until(is_told)
        group.close_all()
    assert told == (
        "[ringsync] rank 1 of 3 in group {1, 2} sums arrays on devices without NCCL: rank 2 has "
        "adopted a communicator, rank 1 has not. Adopt one on all ranks or on none.\n"
    )


def test_a_communicator_of_another_rank_or_size_is_refused(begin_with_nccl):
    with communicators() as owned, communicators(2) as pair, begin_with_nccl() as made:
        for one, whose in ((owned[1], "rank 1 of 3"), (pair[0], "rank 0 of 2")):
            with pytest.raises(ConfigError) as refused:
                adopt(made.ranks[0], one)
            assert str(refused.value) == (
                f"[adopt_nccl] the communicator is that of {whose}, and this is rank 0 of 3 of the "
                "group. Make it with the group's own rank() and size()."
            )


def test_a_communicator_of_another_device_is_refused_and_so_are_arrays(
    simulated, begin_with_nccl, faults
):
    with communicators() as owned, begin_with_nccl() as made:
        faults("device=1")
        adopt(made.ranks[0], owned[0])
        expected = (
            r"^\[allreduce\] the array lies on device 0, and rank 0 works on device 1\. Use one "
            r"device for each rank, that of its local rank\.$"
        )
        with pytest.raises(ConfigError, match=expected):
            made.ranks[0].allreduce(seen(OnDevice(simulated, np.ones(3, F32))))
    with communicators() as owned, begin_with_nccl() as made:
        made.each(lambda rank: rank.allreduce(seen(OnDevice(simulated, np.ones(3, F32)))))
        expected = (
            r"^\[adopt_nccl\] the communicator is one of device 1, and rank 0 works on device 0\. "
            r"Use one device for each rank, that of its local rank\.$"
        )
        with pytest.raises(ConfigError, match=expected):
            adopt(made.ranks[0], owned[0])


def test_a_communicator_of_another_copy_of_the_library_is_refused(begin_with_nccl, tmp_path):
    # Under a name of its own: each process that has loaded NCCL's finds that one from then on.
    other = changed(tmp_path, FAKE.name, "libcopy.so", name="libcopy.so")
    (tmp_path / "libringsync_hostsim.so").symlink_to(find_plugin("hostsim"))  # looked for beside it
    with communicators(owner=Owner(other)) as owned, begin_with_nccl() as made:
        with pytest.raises(ConfigError) as refused:
            adopt(made.ranks[0], owned[0], maker=other)
        assert str(refused.value).startswith(
            f"[adopt_nccl] the communicator was made through {other}, which calls another copy of "
            f"NCCL than {find_plugin('fake_nccl')}, the one that ringsync uses"
        )
        with pytest.raises(ConfigError, match="calls another copy of NCCL"):
            adopt(made.ranks[0], owned[0], maker=tmp_path / "not_loaded.so")


def test_an_extension_that_needs_the_library_has_made_it(begin_with_nccl, tmp_path):
    library = FAKE
    extension = compile_library("needs_nccl.cc", tmp_path, library, "-Wl,--no-as-needed", library)
    ctypes.CDLL(str(library))
    ctypes.CDLL(extension)
    with communicators() as owned, begin_with_nccl() as made:
        made.each(lambda rank: adopt(rank, owned[rank.rank], maker=extension))


def test_it_is_too_late_once_a_large_array_has_been_there(simulated, begin_with_nccl):
    with communicators() as owned, begin_with_nccl() as made:
        assert ways(simulated, made, count=10) == set()
        adopt(made.ranks[0], owned[0])
        with pytest.raises(ConfigError, match=r"the group has adopted a communicator before\."):
            adopt(made.ranks[0], owned[0])
        ways(simulated, made)
        with pytest.raises(ConfigError, match=r"the group has had a large array on a device befo"):
            adopt(made.ranks[1], owned[1])


def test_two_groups_cannot_have_one_communicator(begin_with_nccl):
    with communicators(2) as owned, begin_with_nccl() as made:
        first, second = made.group(0, 1), made.group(0, 1)
        adopt(made.ranks[0], owned[0], group=first.number[0])
        expected = (
            r"^\[adopt_nccl\] group \{0, 1\} has adopted the communicator\. Make one for each"
        )
        with pytest.raises(ConfigError, match=expected):
            adopt(made.ranks[0], owned[0], group=second.number[0])


def test_ranks_that_go_without_nccl_and_groups_that_are_closed_adopt_none(begin_with_nccl):
    with communicators() as owned:
        with (
            world(N) as made,
            pytest.raises(ConfigError, match=r"^\[adopt_nccl\] this rank goes wi"),
        ):
            adopt(made.ranks[0], owned[0])
        with begin_with_nccl() as other:
            with pytest.raises(ConfigError, match=r"^\[adopt_nccl\] group number 99 is closed, or"):
                adopt(other.ranks[0], owned[0], group=99)
            other.close()
            with pytest.raises(NotInitializedError, match="called after shutdown"):
                adopt(other.ranks[0], owned[0])


# Nobody can free what waits in a call of NCCL's, or on a device, and nobody waits for it.


def test_a_call_that_never_returns_is_a_time_out_and_holds_up_nobody(simulated, adopted, faults):
    faults("stuck")
    arrays = [OnDevice(simulated, np.ones(LARGE, F32)) for _ in range(N)]
    simulated.keep_memory()
    began_s = time.monotonic()
    found = adopted.errors(
        lambda rank: rank.allreduce(seen(arrays[rank.rank]), timeout_s=0.5), RingsyncError
    )
    assert any(isinstance(error, TimedOutError) for error in found)
    adopted.close()
    assert time.monotonic() - began_s < DEADLINE_S / 2


def test_a_rank_that_shuts_down_while_it_hangs_is_named_by_the_others(simulated, adopted, faults):
    faults("hang")
    arrays = [OnDevice(simulated, np.ones(LARGE, F32)) for _ in range(N)]
    simulated.keep_memory()
    handles = adopted.each(lambda rank: rank.submit(Collective.ALLREDUCE, seen(arrays[rank.rank])))
    for handle in handles:  # until it is with NCCL on all ranks
        assert handle._wait_on(simulated.stream(), DEADLINE_S)

    def work(rank):
        if rank.rank == 1:
            rank.engine.shutdown("it had enough")
        finish(handles[rank.rank])

    began_s = time.monotonic()
    first, _, last = adopted.errors(work, (PeerLostError, NotInitializedError))
    assert "it had enough" in str(first)
    assert "it had enough" in str(last)
    adopted.close()
    assert time.monotonic() - began_s < DEADLINE_S / 2


def test_what_fails_in_nccl_is_told_on_all_ranks(simulated, adopted, faults):
    arrays = [OnDevice(simulated, np.ones(LARGE, F32)) for _ in range(N)]
    simulated.keep_memory()
    faults("async=6")

    def work(rank):
        for _ in range(3):
            rank.allreduce(seen(arrays[rank.rank]))

    for error in adopted.errors(work, RingsyncError):
        assert "nccl" in str(error).lower() or isinstance(error, PeerLostError)
