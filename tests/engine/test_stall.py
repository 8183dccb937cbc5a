"""What stands still delays nothing else, and whoever waits for it is told, each time."""

import contextlib
import re
import time
from pathlib import Path

import numpy as np
import pytest

from ringsync.errors import StallError, TimedOutError

from ..ranks import DEADLINE_S, Collective, finish, until, world

# From the warning to the error, others have less than a second to say what they are doing.
pytestmark = pytest.mark.alone

SUM, SEND = Collective.ALLREDUCE, Collective.SEND

STATE_AND_SLEEPS = r"(?s)\nState:\s*(\S).*\nvoluntary_ctxt_switches:\s*(\d+)"


def listen(rank, source, **how):
    """A message that rank `source` has not sent yet."""
    return rank.submit(SEND, np.zeros(4), root=source, peer=source, **how)


def threads():
    """The state of each thread of this process, and how often it has gone to sleep."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it has just ended
            status = (task / "status").read_text()
            found[task.name] = re.search(STATE_AND_SLEEPS, status).groups()
    return found


@pytest.fixture
def fall_asleep():
    """Waits until the engines of a test find nothing to do: all sleep, and none wakes another."""
    earlier = threads().keys()

    def engines():
        return {task: found for task, found in threads().items() if task not in earlier}

    def are_asleep():
        found = engines()
        return {state for state, _ in found.values()} == {"S"} and engines() == found

    return lambda: until(are_asleep)


def say(rank, to):
    finish(rank.submit(SEND, np.ones(4), root=rank.rank, peer=to))


def test_a_call_to_an_idle_world_wakes_an_engine_that_listens(fall_asleep):
    with world(2) as ranks:
        first, second = ranks.ranks
        heard = listen(first, 1)
        theirs = second.submit(SUM, np.ones(4), name="x")
        fall_asleep()  # the engine of rank 0, with nothing of its world in hand
        own = first.submit(SUM, np.ones(4), name="x")
        finish(own)
        finish(theirs)
        say(second, 0)
        finish(heard)


def test_the_time_of_a_second_call_ends_where_the_first_has_no_end(fall_asleep):
    with world(2) as ranks:
        rank = ranks.ranks[0]
        blocked = rank.submit(SUM, np.ones(4), name="y", timeout_s=float("inf"))
        fall_asleep()
        late = rank.submit(SUM, np.ones(4), name="z", timeout_s=0.3)
        with pytest.raises(TimedOutError, match="'z': not complete after"):
            finish(late)
        del blocked


def test_a_time_is_up_also_while_another_group_never_rests():
    with world(3) as ranks:
        first, second, _ = ranks.ranks
        late = listen(first, 2, timeout_s=0.3)
        until_s = time.monotonic() + 20
        while not late.done():
            assert time.monotonic() < until_s
            for handle in [listen(first, 1), second.submit(SEND, np.ones(4), root=1, peer=0)]:
                until(handle.done)
        with pytest.raises(TimedOutError, match="not complete after"):
            finish(late)


def test_a_peer_that_one_group_has_asked_may_be_asked_by_another_once_that_is_over(capfd):
    with world(2, stall_warn_s=0.2) as ranks:
        first, second = ranks.ranks
        heard = listen(first, 1)
        until(lambda: "in recv 'unnamed 0'" in capfd.readouterr().err)
        say(second, 0)
        finish(heard)
        own = first.submit(SUM, np.ones(4), name="w")
        until(lambda: "in allreduce 'w'" in capfd.readouterr().err)
        finish(second.submit(SUM, np.ones(4), name="w"))
        finish(own)


def test_who_listens_with_a_time_of_its_own_ends_no_world_that_goes_on():
    abort_s = 1.0
    with world(2, stall_warn_s=0.1, stall_abort_s=abort_s) as ranks:
        first, second = ranks.ranks
        heard = listen(first, 1, timeout_s=DEADLINE_S)
        until_s = time.monotonic() + 1.5 * abort_s
        while time.monotonic() < until_s:
            handles = [rank.submit(SUM, np.ones(4)) for rank in ranks.ranks]
            for handle in handles:
                finish(handle)
        say(second, 0)
        finish(heard)


@pytest.mark.parametrize("name", [None, "ball"])
def test_two_ranks_that_both_send_are_told_so(name, capfd):
    with world(3, stall_warn_s=0.1, stall_abort_s=1.0) as ranks:
        first, second, _ = ranks.ranks
        theirs = second.submit_send(np.ones(4), 0, name=name, timeout_s=DEADLINE_S)
        told = r"ranks \{1\} take no part: rank 1 sends to this rank, too\. Let one of the two"
        with pytest.raises(StallError, match=told):
            first.send(np.ones(4), 1, name=name, timeout_s=float("inf"))
        del theirs
    assert ": rank 1 sends to this rank, too.\n" in capfd.readouterr().err


def test_a_send_whose_receiver_has_nothing_for_it_is_told_of_no_other():
    with world(2, stall_warn_s=0.1, stall_abort_s=1.0) as ranks:
        first, second = ranks.ranks
        heard = listen(second, 0, name="other", timeout_s=DEADLINE_S)
        told = r"ranks \{1\} take no part; rank 1 has submitted 'other'\. See what they are doing"
        with pytest.raises(StallError, match=told):
            first.send(np.ones(4), 1, name="ball", timeout_s=float("inf"))
        del heard


def test_what_has_no_end_of_its_own_is_ended_after_the_limit():
    told = r"'y': nothing has moved for [\d.]+ s on rank 0 of 2"
    with (
        world(2, stall_warn_s=0.1, stall_abort_s=0.4) as ranks,
        pytest.raises(StallError, match=told),
    ):
        ranks.ranks[0].allreduce(np.ones(4), name="y", timeout_s=float("inf"))
