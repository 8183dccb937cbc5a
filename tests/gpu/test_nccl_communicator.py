"""A communicator of NCCL, on the fake one: values of every collective, and every kind of end."""

import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench.device.abi import Dtype
from bench.device.plugin import find_plugin
from ringsync import _native, errors

from ..ranks import side_by_side, until, values_of
from .conftest import ROOT
from .nccl_rank import Rank, at, held, load

SIZES = [1, 2, 3]
ONES = np.ones(1000, np.float32)
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/tests/gpu"}
FORK = """
import os, signal
import numpy as np
from nccl_rank import Rank, held, load

library = load()
with Rank(library, library.make_id(), 0, 1).join() as rank:
    child = os.fork()
    if child == 0:
        signal.alarm(8)  # a hang ends as SIGALRM
        rank.communicator.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    result = rank.allreduce(np.ones(10, np.float32))
    rank.synchronize()
    assert result.sum() == 10
assert held() == []
"""


@pytest.fixture(autouse=True)
def nothing_stays():
    """Neither a file of shared memory, nor a descriptor or a mapping of this process."""
    files = set(Path("/dev/shm").iterdir())
    before = Counter(held())  # of tests that leave a rank behind that stands still
    yield
    assert Counter(held()) - before == Counter()
    assert not [file for file in set(Path("/dev/shm").iterdir()) - files if "nccl" in file.name]


@pytest.fixture
def library():
    library = load()
    if library.path != str(find_plugin("fake_nccl")):
        pytest.skip(f"{library.path} is loaded, and only one NCCL serves a process")
    return library


@pytest.fixture
def faults(monkeypatch):
    return lambda text: monkeypatch.setenv("FAKE_NCCL", text)


@pytest.fixture
def alone(library):
    """A rank that has joined a communicator of its own."""
    with Rank(library, library.make_id(), 0, 1).join() as rank:
        yield rank


def together(library, size, work):
    """`work` of all ranks of one communicator, as threads that have joined."""
    unique_id = library.make_id()

    def run(number):
        with Rank(library, unique_id, number, size).join() as rank:
            return work(rank)

    return values_of(side_by_side(size, run))


@pytest.mark.parametrize("size", SIZES)
def test_every_collective_of_threads_has_numpy_s_values(library, size):
    assert together(library, size, Rank.wrong) == [[]] * size


@pytest.mark.parametrize("size", SIZES)
def test_every_collective_of_processes_has_numpy_s_values(size):
    with contextlib.ExitStack() as stack:
        ranks = [stack.enter_context(process(rank, size)) for rank in range(size)]
        unique_id = ranks[0].stdout.readline()
        for rank in ranks[1:]:
            rank.stdin.write(unique_id)
            rank.stdin.flush()
        answers = [rank.communicate(timeout=100)[0] for rank in ranks]
    assert [json.loads(answer) for answer in answers] == [[]] * size


def test_a_forked_child_gives_nothing_back():
    done = subprocess.run([sys.executable, "-c", FORK], env=ENVIRONMENT, timeout=60, check=False)
    assert done.returncode == 0


@contextlib.contextmanager
def process(rank, size):
    command = [sys.executable, ROOT / "tests/gpu/nccl_rank.py", str(rank), str(size)]
    started = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    with started:
        try:
            yield started
        finally:
            started.kill()


def test_a_call_is_done_in_stream_order(library):
    def run(rank):
        values = np.zeros(1000, np.float32)
        rank.plugin.call("copy", at(values)[0], at(ONES)[0], ONES.nbytes, rank.stream)
        result = rank.allreduce(values)
        rank.plugin.call("copy", at(values)[0], at(result)[0], ONES.nbytes, rank.stream)
        rank.synchronize()
        return values.tolist()

    assert together(library, 2, run) == [[2.0] * 1000] * 2


def test_types_and_ops_that_nccl_has_not_are_refused(alone):
    values = np.ones(4, np.int16)
    assert [_native.has_nccl_type(dtype) for dtype in range(10)] == [
        dtype not in {6, 8} for dtype in range(10)
    ]
    with pytest.raises(errors.RingsyncError, match=r"^\[nccl\] there is no sum of int16 in NCCL\."):
        alone.put("allreduce", at(values), at(values), 6, 1)
    with pytest.raises(errors.RingsyncError, match=r"^\[nccl\] Adasum is no sum of NCCL's\."):
        alone.put("reduce_scatter", at(values), at(values), Dtype.FLOAT32, 2)


def test_a_call_that_nccl_refuses_is_told_in_its_words(alone):
    parts = [at(ONES)] * 2
    expected = (
        r"^\[nccl\] alltoall failed on rank 0 of 1: invalid argument \(there is no such peer\)\. "
        r"Set NCCL_DEBUG=WARN to see more, and read the other ranks' logs\.$"
    )
    with pytest.raises(errors.RingsyncError, match=expected):
        alone.put("alltoall", parts, parts)


def test_joining_does_not_wait_for_others(library):
    unique_id = library.make_id()
    with Rank(library, unique_id, 0, 2) as first:
        assert not first.communicator.is_ready()
        with Rank(library, unique_id, 1, 2).join():
            first.join()


def test_a_call_before_all_have_joined_is_refused(library):
    with Rank(library, library.make_id(), 0, 2) as rank:
        expected = (
            r"^\[nccl\] allreduce failed on rank 0 of 2: .* \(the communicator is not ready\)"
        )
        with pytest.raises(errors.RingsyncError, match=expected):
            rank.allreduce(ONES)


@pytest.mark.parametrize("end", ["abort", "close"])
@pytest.mark.timeout(20)  # the fake's own patience is longer
def test_a_rank_whose_peer_never_comes_ends_at_once(library, end):
    with Rank(library, library.make_id(), 0, 2) as rank:
        getattr(rank.communicator, end)()


@pytest.mark.timeout(20)
def test_a_join_that_hangs_is_aborted_at_once(library, faults):
    faults("init=hang")
    with Rank(library, library.make_id(), 0, 1) as rank:
        assert not rank.communicator.is_ready()
        rank.communicator.abort()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("fault", ["hang", ""])
def test_a_collective_that_never_ends_ends_when_it_is_aborted(library, faults, fault):
    faults(fault)

    def run(rank):
        if rank.rank == 0 or fault:  # else the other rank never calls
            rank.allreduce(ONES)
            rank.communicator.is_ready()
        rank.communicator.abort()
        rank.synchronize()

    together(library, 2, run)


def test_an_aborted_communicator_says_so_at_every_call(alone):
    for _ in range(2):
        alone.communicator.abort()
    expected = (
        r"^\[nccl\] allreduce failed on rank 0 of 1: it has been aborted\. "
        r"Read the first error that was told\.$"
    )
    with pytest.raises(errors.RingsyncError, match=expected):
        alone.allreduce(ONES)
    with pytest.raises(errors.RingsyncError, match=r"its work failed .* it has been aborted\."):
        alone.communicator.is_ready()


def test_a_join_that_fails_later_is_told_by_the_next_look(library, faults):
    faults("init=fail")
    with Rank(library, library.make_id(), 0, 1) as rank:
        expected = r"^\[nccl\] its work failed on rank 0 of 1: unhandled system error"
        with pytest.raises(errors.RingsyncError, match=expected):
            rank.join()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"unique_id": bytes(128)}, r"unhandled system error \(the id's maker has gone\)"),
        ({"rank": 1}, r"invalid argument \(there is no such rank\)"),
        ({"max_ctas": 65}, r"invalid argument \(maxCTAs is above 64\)"),
    ],
)
def test_a_join_that_fails_at_once_is_told_at_once(library, changes, words):
    made = library.make_id()
    arguments = {"unique_id": made, "rank": 0, "size": 1} | changes
    with pytest.raises(errors.RingsyncError, match=rf"^\[nccl\] joining failed on .*{words}"):
        Rank(library, **arguments)
    with Rank(library, made, 0, 1, max_ctas=4) as rank:  # closes what the id stands for
        rank.join()


def test_an_id_that_is_none_is_refused(library, faults):
    with pytest.raises(errors.ConfigError, match=r"^\[nccl\] an id has 128 bytes, not 3\. Pass"):
        Rank(library, b"abc", 0, 1)
    faults("id=fail")
    expected = r"^\[nccl\] no id can be made: unhandled system error \(there is no network\)\."
    with pytest.raises(errors.RingsyncError, match=expected):
        library.make_id()


def test_an_error_that_comes_later_is_told_by_check_and_by_the_next_call(alone, faults):
    faults("async=6")
    gate = np.zeros(1, np.uint32)
    alone.plugin.wait_flag(gate.ctypes.data, 1, alone.stream)
    alone.allreduce(ONES)
    alone.communicator.is_ready()
    alone.plugin.signal([gate.ctypes.data], 1, 0)
    alone.synchronize()
    words = r"failed on rank 0 of 1: remote process exited or there was a network error"
    with pytest.raises(errors.RingsyncError, match=rf"^\[nccl\] its work {words}"):
        alone.communicator.is_ready()
    with pytest.raises(errors.RingsyncError, match=rf"^\[nccl\] allreduce {words}"):
        alone.allreduce(ONES)  # and not that it is no call for one in that state


@pytest.mark.timeout(20)
def test_a_call_that_is_not_taken_in_is_told_at_its_deadline(alone, faults):
    faults("stuck")
    expected = (
        r"^\[nccl\] allreduce has not begun on rank 0 of 1 at its deadline\. "
        r"Read the other ranks' logs\.$"
    )
    with pytest.raises(errors.TimedOutError, match=expected) as raised:
        alone.allreduce(ONES, timeout_s=0.01)
    assert raised.value.missing == ()
    alone.communicator.abort()
    alone.synchronize()


@pytest.mark.timeout(15)  # less than a call's own deadline here
def test_another_thread_s_abort_ends_a_call_that_is_not_taken_in(alone, faults):
    faults("stuck")

    def run(number):
        if number == 0:
            alone.allreduce(ONES)
        until(lambda: not alone.communicator.is_ready())
        alone.communicator.abort()

    outcomes = side_by_side(2, run)
    assert "allreduce failed on rank 0 of 1: it has been aborted." in str(outcomes[0])
    assert outcomes[1] is None
    alone.synchronize()


@pytest.mark.timeout(20)
def test_closing_waits_a_little_for_what_never_ends(alone, faults):
    faults("hang")
    alone.allreduce(ONES)
    alone.communicator.close()
    alone.synchronize()


def test_closing_waits_for_what_is_on_the_stream(library):
    def run(rank):
        result = rank.allreduce(ONES)
        rank.communicator.close()
        return result.tolist()

    assert together(library, 2, run) == [[2.0] * 1000] * 2
