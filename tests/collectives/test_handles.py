"""Handles and arguments: what a call promises, and what is refused before it starts."""

import gc
import math
import re
import threading
import weakref

import numpy as np
import pytest

import ringsync as rs
from ringsync.errors import ConfigError, NotInitializedError, TimedOutError

CALLS = {
    "allreduce": rs.allreduce,
    "allreduce_": rs.allreduce_,
    "allreduce_async": rs.allreduce_async,
    "allreduce_async_": rs.allreduce_async_,
}
BROADCASTS = {
    "broadcast": rs.broadcast,
    "broadcast_": rs.broadcast_,
    "broadcast_async": rs.broadcast_async,
    "broadcast_async_": rs.broadcast_async_,
}
EVERY = CALLS | BROADCASTS | {"allgather": rs.allgather, "allgather_async": rs.allgather_async}


@pytest.mark.parametrize("place", CALLS)
def test_a_codec_is_refused_as_long_as_there_is_none(place):
    told = r"^\[allreduce\] codec='fp16' was given; no codec is built yet\. Leave it None on all"
    with pytest.raises(ConfigError, match=told):
        CALLS[place](np.ones(3), codec="fp16")


@pytest.mark.parametrize("place", CALLS)
@pytest.mark.parametrize(
    "codec", ["", 7, b"fp16", "fp\n16", "halb\u00e9", "of sixteen bytes"], ids=repr
)
def test_what_names_no_codec_is_refused_at_once(place, codec):
    told = rf"^\[{place}\] codec={re.escape(repr(codec))}; the name of one is expected\. Leave it"
    with pytest.raises(ConfigError, match=told):
        CALLS[place](np.ones(3), codec=codec)


@pytest.mark.parametrize("place", CALLS)
def test_an_op_that_is_not_built_is_named_with_those_that_are(place):
    with pytest.raises(
        ConfigError, match=rf"\[{place}\] op=Adasum is not built.*Average, Sum, Min, Max, Product"
    ):
        CALLS[place](np.ones(3), op=rs.Adasum)


@pytest.mark.parametrize("op", ["sum", None, 7, 1.5], ids=repr)
def test_what_is_no_op_is_refused(op):
    with pytest.raises(ConfigError, match=r"a ReduceOp is expected\. Use rs\.Average or rs\.Sum"):
        rs.allreduce(np.ones(3), op=op)


@pytest.mark.parametrize("place", [*BROADCASTS, "broadcast_object"])
@pytest.mark.parametrize("root", [-1, 1, 100])
def test_a_root_outside_the_world_is_refused_with_the_world(place, root):
    call = {**BROADCASTS, "broadcast_object": rs.broadcast_object}[place]
    with pytest.raises(ConfigError, match=rf"\[{place}\] root={root} is no rank .* root < 1"):
        call(np.ones(3), root)


@pytest.mark.parametrize("place", EVERY)
@pytest.mark.parametrize("timeout_s", [0, -1, math.nan, -math.inf])
def test_a_time_that_is_none_is_refused(place, timeout_s):
    with pytest.raises(ConfigError, match=rf"\[{place}\] timeout_s="):
        EVERY[place](np.ones(3), timeout_s=timeout_s)


@pytest.mark.parametrize("place", EVERY)
def test_any_longer_time_is_taken(place):
    for timeout_s in (5, 1e-3 + 60, 1e10, math.inf):
        outcome = EVERY[place](np.ones(3), timeout_s=timeout_s)
        if isinstance(outcome, rs.Handle):
            outcome.wait(timeout_s)


def test_after_shutdown_every_call_says_what_to_do():
    rs.shutdown()
    calls = [
        rs.rank, rs.size, rs.local_rank, rs.local_size, rs.node_rank, rs.num_nodes, rs.barrier,
        rs.barrier_async, rs.stop_timeline, lambda: rs.start_timeline("x"), lambda: rs.empty(3),
        lambda: rs.broadcast_object(1), lambda: rs.allgather_object(1),
        *[lambda call=call: call(np.ones(3)) for call in EVERY.values()],
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(
            NotInitializedError, match=r"has shut down; .* call ringsync\.init\(\) again"
        ):
            call()
    assert not rs.is_initialized()


def test_a_world_of_one_knows_its_place():
    assert (rs.rank(), rs.size(), rs.local_rank(), rs.local_size()) == (0, 1, 0, 1)
    assert (rs.node_rank(), rs.num_nodes()) == (0, 1)


def test_done_becomes_true_and_result_may_be_asked_again():
    handle = rs.allreduce_async(np.arange(5.0))
    handle.wait(20)
    assert handle.done()
    assert handle.result() is handle.result()
    times = handle.times()
    assert times.submitted_ns <= times.started_ns <= times.agreed_ns <= times.done_ns


def test_the_input_of_an_asynchronous_call_may_be_changed_at_once():
    x = np.ones(500_000)
    handle = rs.allreduce_async(x)
    x[...] = 7.0
    assert set(handle.result().tolist()) == {1.0}


def test_a_barrier_has_no_result():
    assert rs.barrier() is None
    assert rs.barrier_async().wait() is None


def test_handles_may_be_waited_for_in_any_order_and_from_any_thread():
    handles = [rs.allreduce_async(np.full(3, float(i)), name=f"t{i}") for i in range(50)]
    found = []
    threads = [
        threading.Thread(target=lambda part=part: found.extend(h.result()[0] for h in part))
        for part in (handles[::-2], handles[::2])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(found) == [float(i) for i in range(50)]


def test_many_threads_may_submit_named_operations_at_once():
    failures = []

    def work(index):
        try:
            for turn in range(200):
                x = np.full(10, float(turn))
                assert rs.allreduce(x, name=f"{index}.{turn}")[0] == turn
                assert rs.allreduce_async(x, name=f"{index}.{turn}").result()[9] == turn
        except BaseException as error:  # also what fails an assertion, for the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []


def test_handles_and_arrays_dropped_in_flight_are_freed_only_when_done(jobs):
    # Rank 1 comes once rank 0 has dropped everything: arrays large enough to be unmapped, so that
    # touching freed memory is a crash, and registered ones, whose block would be handed out again.
    ended = jobs.run(
        2,
        """
        import gc
        rs.init()
        if RANK == 1:
            await_word("dropped")
        for turn in range(4):
            rs.allreduce_async(np.full(2_000_000, 1.0), name=f"copied {turn}")
            rs.allreduce_async_(np.full(2_000_000, 1.0), name=f"own {turn}")
            rs.allgather_async(np.full(2_000_000, 1.0), name=f"gathered {turn}")
            shared = rs.empty(1000)
            shared[...] = turn
            rs.allreduce_async_(shared, name=f"shared {turn}")
            del shared
        gc.collect()
        kept = [rs.empty(1000) for _ in range(4)]
        tell(f"dropped{RANK}" if RANK else "dropped")
        rs.barrier()
        assert not any(array.any() for array in kept)
        """,
    )
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]


def test_a_wait_may_give_up_while_the_operation_goes_on(jobs):
    ended = jobs.run(
        2,
        """
        rs.init()
        if RANK == 1:
            await_word("gave up")
        handle = rs.allreduce_async(np.ones(3), name="fc1", op=rs.Sum)
        if RANK == 0:
            for limit_s in (0, 0.01):
                try:
                    handle.wait(limit_s)
                except errors.TimedOutError as error:
                    assert "'fc1' is not complete" in str(error) and "it goes on" in str(error)
                else:
                    sys.exit("it did not give up")
            assert not handle.done()
            tell("gave up")
        assert handle.result()[0] == 2.0
        """,
    )
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]


def test_memory_of_completed_operations_is_let_go():
    alive = []

    class Watched(np.ndarray):
        def __del__(self):
            alive.remove(id(self))

    def work():
        x = np.ones(1000).view(Watched)
        alive.append(id(x))
        rs.allreduce_async_(x).wait()

    for _ in range(20):
        work()
    gc.collect()
    rs.barrier_async().wait()
    rs.allreduce_async(np.ones(3)).wait()
    rs.allreduce_async(np.ones(3)).wait()
    gc.collect()
    assert len(alive) <= 1


def test_a_time_out_is_also_python_s_own():
    assert issubclass(TimedOutError, TimeoutError)


@pytest.mark.parametrize(
    "obj", [None, 0, "text" * 1000, {"a": [1, (2, 3)]}, b"", np.arange(3)], ids=repr
)
def test_objects_travel(obj):
    assert rs.broadcast_object(obj) is obj
    [found] = rs.allgather_object(obj)
    np.testing.assert_equal(found, obj)


def test_an_object_that_cannot_be_pickled_is_an_error_that_spares_the_engine():
    with pytest.raises(ConfigError, match="the object of rank 0 cannot be pickled"):
        rs.allgather_object(lambda: 0)
    assert rs.allgather_object(1) == [1]


def test_ranks_that_name_other_roots_for_an_object_are_told(jobs):
    ended = jobs.run(
        2,
        """
        rs.init()
        try:
            found = rs.broadcast_object(f"of {RANK}", RANK)
        except errors.MismatchError:
            found = "told"
        print(found)
        """,
    )
    assert [one.out for one in ended] == ["told\n"] * 2, [one.err for one in ended]


def test_a_mismatch_reaches_every_rank_and_work_goes_on(jobs):
    ended = jobs.run(
        3,
        """
        rs.init()
        x = np.full((128, 32) if RANK == 2 else (128, 64), float(RANK), np.float32)
        later = lambda *a, **k: rs.allreduce_async(*a, **k).result()
        for attempt in (rs.allreduce, rs.allreduce_, later):
            try:
                attempt(x, name="fc1.weight")
            except errors.MismatchError as error:
                print(error)
            assert (x == RANK).all()
        print(rs.allreduce(np.ones(3), op=rs.Sum)[0])
        """,
    )
    line = (
        "[allreduce] 'fc1.weight': rank 2 sent shape (128, 32), rank 0 (128, 64). "
        "Build the same model on all ranks.\n"
    )
    assert [one.out for one in ended] == [3 * line + "3.0\n"] * 3, [one.err for one in ended]


@pytest.mark.parametrize("finish", [rs.Handle.wait, rs.Handle.result])
def test_an_array_is_let_go_once_its_handle_has_been_waited_for(finish):
    array = np.ones(1000)
    held = weakref.ref(array)
    handle = rs.allreduce_async_(array)
    finish(handle)
    del handle, array
    assert held() is None
