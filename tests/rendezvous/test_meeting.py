"""How the ranks of one host meet in a directory, and what stands in the way of it."""

import contextlib
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync import _native
from ringsync.errors import RendezvousError

from ..ranks import DEADLINE_S, side_by_side, until, values_of
from .meetings import come_as, meet_all, require_met

# Short enough to wait for ranks that do not come.
SHORT_S = 0.3
# Long enough for those that do come, on a busy machine too.
MEETING_S = 1.5


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_all_ranks_meet_and_leave_neither_socket_nor_directory(place, size):
    require_met(meet_all(place, size))
    assert not place.exists()


def test_real_processes_meet(jobs, place):
    ended = jobs.run(
        3,
        f"""
        from ringsync import _native
        store = _native.meet({str(place)!r}, RANK, 3, 20.0)
        print(store.add("came", 1))
        while store.get("came", 20.0) != b"3":
            time.sleep(0.001)  # leaves the core to the others
        store.add("saw", 1)
        while RANK == 0 and store.get("saw", 20.0) != b"3":
            time.sleep(0.001)  # leaves the core to the others
        """,
    )
    assert [one.code for one in ended] == [0, 0, 0], ended
    assert sorted(one.out.strip() for one in ended) == ["1", "2", "3"]
    assert jobs.remains() == []


@given(order=st.permutations(range(5)))
def test_ranks_may_come_in_any_order(tmp_path_factory, order):
    place = tmp_path_factory.getbasetemp() / "any"

    def work(index):
        return order[index], _native.meet(str(place), order[index], 5, DEADLINE_S)

    require_met([store for _, store in sorted(values_of(side_by_side(5, work)))])
    assert not place.exists()


def test_a_place_with_other_files_in_it_is_left_to_its_owner(place):
    place.mkdir(mode=0o700)
    (place / "launcher").write_text("mine")
    require_met(meet_all(place, 3))
    assert [path.name for path in place.iterdir()] == ["launcher"]


def test_one_job_after_another_meets_at_the_same_place_also_while_the_first_lives(place):
    first = meet_all(place, 2)
    second = meet_all(place, 3)
    require_met(first)
    require_met(second)


def test_missing_ranks_are_named_to_all_who_came(place):
    def work(rank):
        if rank in {0, 2}:
            _native.meet(str(place), rank, 4, MEETING_S if rank == 0 else DEADLINE_S)

    outcomes = side_by_side(4, work)
    for rank in (0, 2):
        assert isinstance(outcomes[rank], RendezvousError)
        assert (
            f"[rendezvous] ranks {{1, 3}} of 4 missing after 1.5 s at '{place}/store' "
            "(RINGSYNC_START_TIMEOUT_S). "
        ) in str(outcomes[rank])


@pytest.mark.parametrize(("rank", "size"), [(1, 3), (2, 2)], ids=str)
def test_those_who_miss_a_rank_are_told_as_whom_another_process_came(place, rank, size):
    def work(index):
        if index == 0:
            return _native.meet(str(place), 0, 2, MEETING_S)
        until((place / "store").exists)
        return come_as(place, rank, size)

    outcome, refusal = side_by_side(2, work)
    assert refusal.startswith(b"-[rendezvous] ")
    assert isinstance(outcome, RendezvousError)
    assert "ranks {1} of 2 missing after 1.5 s" in str(outcome)
    assert f"; a process that came as rank {rank} of {size} was sent away." in str(outcome)


def test_a_missing_rank_0_is_named(place):
    with pytest.raises(
        RendezvousError, match=r"ranks \{0\} of 2 missing after 0\.3 s at '/.*MASTER_PORT"
    ):
        _native.meet(str(place), 1, 2, SHORT_S)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_meeting_that_failed_leaves_neither_socket_nor_directory(place, rank):
    with pytest.raises(RendezvousError):
        _native.meet(str(place), rank, 2, 0.1)
    assert not place.exists()


@pytest.mark.parametrize(("rank", "size"), [(1, 3), (2, 2), (7, 2), (-1, 2), (1, 1)], ids=str)
def test_whoever_expects_another_world_is_told_and_the_job_meets_all_the_same(place, rank, size):
    def work(index):
        if index == 2:
            # Once the socket is there, so that the stranger comes in the middle of the meeting.
            until((place / "store").exists)
            try:
                return _native.meet(str(place), rank, size, DEADLINE_S)
            finally:
                comes.append("stranger")
        if index == 1:
            until(lambda: comes)
        return _native.meet(str(place), index, 2, DEADLINE_S)

    comes: list[str] = []
    outcomes = side_by_side(3, work)
    assert isinstance(outcomes[2], RendezvousError)
    assert f"joined as rank {rank} of {size}, rank 0 expects 2 ranks" in str(outcomes[2])
    require_met(outcomes[:2])


def test_a_second_process_with_the_same_rank_is_told_and_the_job_meets_all_the_same(place):
    def work(index):
        if index == 0:
            return _native.meet(str(place), 0, 3, DEADLINE_S)
        if index < 3:
            return _native.meet(str(place), 1, 3, DEADLINE_S)
        until(lambda: refused)
        return _native.meet(str(place), 2, 3, DEADLINE_S)

    def watched(index):
        try:
            return work(index)
        finally:
            if index in {1, 2}:
                refused.append(index)

    refused: list[int] = []
    outcomes = side_by_side(4, watched)
    lost = [outcome for outcome in outcomes if isinstance(outcome, RendezvousError)]
    assert len(lost) == 1
    assert "two processes joined as rank 1 of 3" in str(lost[0])
    require_met([outcome for outcome in outcomes if not isinstance(outcome, RendezvousError)])


def test_a_second_rank_0_is_told_of_the_other_job_and_does_it_no_harm(place):
    def work(index):
        if index == 0:
            return _native.meet(str(place), 0, 2, DEADLINE_S)
        until((place / "store").exists)
        with pytest.raises(
            RendezvousError, match=r"another job already meets at .*once only.*MASTER_PORT"
        ):
            _native.meet(str(place), 0, 2, DEADLINE_S)
        return _native.meet(str(place), 1, 2, DEADLINE_S)

    require_met(side_by_side(2, work))


def test_a_place_that_earlier_jobs_keep_removing_is_made_again(place):
    def come_and_go():
        for _ in range(20_000):
            with contextlib.suppress(FileExistsError):  # a rank was first
                place.mkdir(mode=0o700)
            with contextlib.suppress(OSError):  # gone, or with a socket in it
                place.rmdir()

    def work(index):
        if index == 2:
            return come_and_go()
        if index == 0:
            until(lambda: comes)  # until then rank 1 waits, and makes the place again and again
        return _native.meet(str(place), index, 2, DEADLINE_S)

    def watched(index):
        try:
            return work(index)
        finally:
            comes.append(index)

    comes: list[int] = []
    require_met(values_of(side_by_side(3, watched))[:2])


def test_the_socket_of_a_dead_job_is_replaced(place):
    place.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
        dead.bind(str(place / "store"))
        dead.listen()
    require_met(meet_all(place, 3))
    assert not place.exists()


def test_a_file_in_the_socket_s_place_is_replaced(place):
    place.mkdir(mode=0o700)
    (place / "store").write_text("no socket")
    require_met(meet_all(place, 2))


def test_a_rank_that_died_before_the_meeting_may_come_again(jobs, place):
    job = jobs.start(
        2,
        f"""
        from ringsync import _native
        tell(f"begin{{RANK}}")
        store = _native.meet({str(place)!r}, RANK, 2, 20.0)
        store.set(f"here{{RANK}}", b"")
        store.get(f"here{{1 - RANK}}", 20.0)
        if RANK == 0:
            store.get("bye", 20.0)
        else:
            store.set("bye", b"")
        """,
        start=0,
    )
    jobs.add(job, 1)
    job.word("begin1")
    job.kill(0)  # it waits for a rank 0 that is not there yet
    jobs.add(job, 0)
    jobs.add(job, 1)
    ended = job.end()
    assert [one.code for one in ended] == [-9, 0, 0], ended


def require_refused(place, pattern):
    for rank in (0, 1):
        with pytest.raises(RendezvousError, match=pattern):
            _native.meet(str(place), rank, 2, SHORT_S)


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701, 0o777])
def test_a_place_open_to_others_is_refused(place, mode):
    place.mkdir()
    place.chmod(mode)
    require_refused(place, "belongs to this user alone")


def test_a_symbolic_link_is_refused_wherever_it_leads(place):
    target = place.parent / "elsewhere"
    target.mkdir(mode=0o700)
    place.symlink_to(target)
    require_refused(place, "is not a directory that belongs to this user alone")
    assert list(target.iterdir()) == []


def test_a_file_is_refused(place):
    place.write_text("")
    require_refused(place, "is not a directory")


def test_another_user_s_place_is_refused(place):
    if os.geteuid() == 0:
        place.mkdir(mode=0o700)
        os.chown(place, 12345, 12345)
    else:
        # Only root can give a directory away; root's own is another user's to everybody else.
        place = Path("/usr")
    require_refused(place, "belongs to this user alone")


def test_a_missing_parent_is_named(place):
    require_refused(place / "deeper", "cannot create .*No such file")


def test_a_place_that_cannot_be_made_is_told_with_both_variables_that_name_it():
    require_refused(
        Path("/proc/x"), "cannot create '/proc/x'.*RINGSYNC_RENDEZVOUS.*not set.*TMPDIR"
    )


def test_a_path_too_long_for_a_socket_is_named_with_a_way_out(place):
    require_refused(
        place.parent / ("x" * 120), "longer than 107 bytes.*RINGSYNC_RENDEZVOUS.*TMPDIR"
    )
