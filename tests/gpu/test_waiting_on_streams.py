"""A handle orders a stream behind its call, and the calling thread waits for no device."""

import gc
import weakref

import numpy as np
import pytest

from ringsync.device_arrays import stream_of
from ringsync.errors import ConfigError, MismatchError, PeerLostError, TimedOutError

from ..ranks import Collective, Op, until
from .arrays import OnDevice, seen, values_in
from .nccl_ways import ways

F32 = np.float32
N = 3
LARGE = 20_000

# Ranks that are threads share no memory of a real device, and go by the host.
shared_alone = pytest.mark.parametrize("plugin", ["hostsim"], indirect=True)


class Copy:
    """What a stream copies of an array, once it comes there."""

    def __init__(self, device, count):
        self.device = device
        self.stream = device.stream()
        self.memory = device.filled(4 * count, 0)
        self.count = count

    def begin(self, address):
        self.device.plugin.call("copy", self.memory, address, 4 * self.count, self.stream)

    def values(self):
        self.device.plugin.call("synchronize_stream", self.stream)
        return self.device.read(self.memory, self.count, F32)


def sums_behind_a_gate(device, made, gate, count):
    """What streams copy that were ordered behind sums whose values come later."""
    copies = [Copy(device, count) for _ in range(N)]
    arrays = [OnDevice(device, np.full(count, 1, F32), stream=gate.stream) for _ in range(N)]
    gate.close()

    def work(rank):
        handle = rank.submit(Collective.ALLREDUCE, seen(arrays[rank.rank]), op=Op.SUM)
        handle.wait(10.0, stream=copies[rank.rank].stream)
        assert not handle.done()
        copies[rank.rank].begin(arrays[rank.rank].address)
        return handle

    handles = made.each(work)
    gate.open()
    for copy, handle in zip(copies, handles, strict=True):
        assert (copy.values() == 3).all()
        handle.wait(10.0)


@shared_alone
def test_a_stream_sees_a_sum_that_is_yet_to_be_made(device, made, gate):
    assert ways(device, made, LARGE) == {"run"}
    sums_behind_a_gate(device, made, gate, LARGE)


def test_likewise_one_of_nccl_s(simulated, joined, simulated_gate):
    sums_behind_a_gate(simulated, joined, simulated_gate, 100_003)


@shared_alone
def test_a_name_is_free_for_the_next_call_once_all_ranks_have_made_this_one(device, made, gate):
    ways(device, made, LARGE)
    gate.close()
    arrays = [
        [OnDevice(device, np.full(LARGE, k, F32), stream=gate.stream) for k in (1, 2)]
        for _ in range(N)
    ]

    def work(rank):
        handles = []
        for array in arrays[rank.rank]:
            handle = rank.submit(Collective.ALLREDUCE, seen(array), name="x", op=Op.SUM)
            handle.wait(10.0, stream=gate.stream)
            assert not handle.done()
            handles.append(handle)
        return handles

    made_by_ranks = made.each(work)
    gate.open()
    for handles in made_by_ranks:
        for handle in handles:
            handle.wait(10.0)
    assert all((a.get() == N).all() and (b.get() == 2 * N).all() for a, b in arrays)


@pytest.mark.parametrize("count", [5, LARGE])
def test_a_stream_sees_what_comes_by_whatever_way(device, made, count):
    copies = [Copy(device, count) for _ in range(N)]
    arrays = [OnDevice(device, np.full(count, 1, F32)) for _ in range(N)]

    def work(rank):
        handle = rank.submit_all([seen(arrays[rank.rank])], op=Op.SUM)
        handle.wait(stream=copies[rank.rank].stream)
        copies[rank.rank].begin(arrays[rank.rank].address)
        handle.wait()

    made.each(work)
    assert all((copy.values() == 3).all() for copy in copies)


def test_results_of_their_own_memory_are_given_to_a_stream(device, made):
    arrays = [OnDevice(device, np.full(LARGE, rank, F32)) for rank in range(N)]

    def work(rank):
        handle = rank.submit(Collective.ALLGATHER, seen(arrays[rank.rank]))
        copy = Copy(device, N * LARGE)
        result = handle.result(stream=copy.stream)
        copy.begin(result.__cuda_array_interface__["data"][0])
        assert (copy.values() == np.repeat(range(N), LARGE)).all()
        handle.wait()
        assert (values_in(device, result, F32)[-1] == N - 1).all()

    made.each(work)


def test_arrays_on_the_host_are_waited_for(device, made):
    stream = device.stream()

    def work(rank):
        x = np.ones(7)
        handle = rank.submit(Collective.ALLREDUCE, x, op=Op.SUM)
        handle.wait(stream=stream)
        assert handle.done()
        assert (x == N).all()

    made.each(work)


def test_what_ranks_disagree_on_is_raised_there(device, made):
    def work(rank):
        x = OnDevice(device, np.ones(LARGE + rank.rank, F32))
        rank.submit(Collective.ALLREDUCE, seen(x)).wait(stream=device.stream())

    made.errors(work, MismatchError)


def test_a_call_that_others_have_not_made_is_waited_for_no_longer_than_asked(device, made):
    x = OnDevice(device, np.ones(LARGE, F32))
    handle = made.ranks[0].submit(Collective.ALLREDUCE, seen(x), op=Op.SUM)
    with pytest.raises(TimedOutError, match=r"is not complete after 0\.01 s; it goes on"):
        handle.wait(0.01, stream=device.stream())
    rest = [OnDevice(device, np.ones(LARGE, F32)) for _ in range(2)]
    for rank, other in zip(made.ranks[1:], rest, strict=True):
        rank.submit(Collective.ALLREDUCE, seen(other), op=Op.SUM)
    handle.wait()
    assert (x.get() == N).all()


@shared_alone
@pytest.mark.runs_out
def test_what_fails_after_a_stream_was_ordered_is_raised_by_the_next_call(device, made, gate):
    ways(device, made, LARGE)
    device.keep_memory()
    gate.close()
    arrays = [OnDevice(device, np.ones(LARGE, F32), stream=gate.stream) for _ in range(N)]

    def work(rank):
        handle = rank.submit(Collective.ALLREDUCE, seen(arrays[rank.rank]))
        handle.wait(10.0, stream=device.stream())
        return handle

    handles = made.each(work)
    made.ranks[2].engine.shutdown("it had enough")
    for rank, handle in zip(made.ranks[:2], handles, strict=False):
        until(handle.done)
        with pytest.raises(PeerLostError, match="it had enough"):
            rank.allreduce(np.ones(3))
        with pytest.raises(PeerLostError, match="it had enough"):
            handle.wait()


@pytest.mark.parametrize("stream", ["none", 1.5, -1, 2**64, True, object()])
def test_what_is_no_stream_is_refused(made, stream):
    handles = made.each(lambda rank: rank.submit(Collective.BARRIER))
    for handle in handles:
        with pytest.raises(ConfigError, match=r"^\[wait\] .* is no stream; one of CuPy or PyTorch"):
            handle.wait(stream=stream)
        handle.wait()


def _raise(error):
    raise error


@pytest.mark.parametrize(
    ("tell", "cause"),
    [
        (lambda: _raise(RuntimeError("it is closed.")), RuntimeError),
        (dict, KeyError),
        (lambda: None, TypeError),
        (lambda: (0,), IndexError),
        (lambda: (0, "far"), TypeError),
        (lambda: (0, -1), type(None)),
    ],
)
def test_a_stream_that_cannot_tell_its_address_is_one_error_with_its_own_as_the_cause(
    made, tell, cause
):
    class Broken:
        def __cuda_stream__(self):
            return tell()

    handles = made.each(lambda rank: rank.submit(Collective.BARRIER))
    for handle in handles:
        for call in (handle.wait, handle.result):
            with pytest.raises(
                ConfigError, match=r"^\[wait\] 'Broken' is no stream.*; one of CuPy or P"
            ) as told:
                call(stream=Broken())
            assert type(told.value.__cause__) is cause
            assert cause is not RuntimeError or "(RuntimeError: it is closed); " in str(told.value)
        handle.wait()


def test_what_cannot_tell_its_address_is_let_go_of_with_the_error():
    class Broken:
        def __cuda_stream__(self):
            raise RuntimeError("it is closed")

    broken = Broken()
    gone = weakref.ref(broken)
    gc.disable()
    try:
        with pytest.raises(ConfigError):
            stream_of(broken)
        del broken
        assert gone() is None
    finally:
        gc.enable()


def test_streams_of_libraries_are_known_by_their_words(device, made):
    class Protocol:
        def __cuda_stream__(self):
            return (0, device.stream())

    class CuPys:
        ptr = device.stream()

    class Torchs:
        cuda_stream = device.stream()

    x = [OnDevice(device, np.ones(LARGE, F32)) for _ in range(N)]
    handles = made.each(lambda rank: rank.submit(Collective.ALLREDUCE, seen(x[rank.rank])))
    for stream in (Protocol(), CuPys(), Torchs(), 0, 1, 2):
        for handle in handles:
            handle.wait(stream=stream)
    for handle in handles:
        handle.wait()  # before the arrays are released


@pytest.mark.parametrize("stream", [1, 2])
def test_cuda_s_words_for_the_default_stream_may_stand_where_streams_do(device, made, stream):
    arrays = [OnDevice(device, np.full(LARGE, 1, F32), stream=stream) for _ in range(N)]

    def work(rank):
        handle = rank.submit(Collective.ALLREDUCE, seen(arrays[rank.rank]), op=Op.SUM)
        handle.wait(stream=stream)
        handle.wait()

    made.each(work)
    assert all((array.get() == N).all() for array in arrays)
