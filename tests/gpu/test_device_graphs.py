"""Runs over devices' shared memory: their flags are constants, so that graphs can repeat them."""

from collections import Counter

import numpy as np
import pytest

from ringsync.errors import PeerLostError, TimedOutError

from ..ranks import ALGORITHMS, Collective, Op, finish, world
from .arrays import OnDevice, seen, values_in

N = 3
F32 = np.float32
LARGE = 20_000

# Ranks that are threads share no memory of a real device.
shared_alone = pytest.mark.parametrize("plugin", ["hostsim"], indirect=True)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """What has become of graphs of ranks whose plug-in is the stand-in."""
    path = tmp_path / "graphs"
    monkeypatch.setenv("STAND_IN_GRAPHS", str(path))
    return lambda: Counter(path.read_text().split() if path.exists() else [])


@pytest.fixture
def watched(plugin_path, stand_in):
    """Three ranks, of which the second one's graphs are counted, or refused."""
    with world(N, device_plugin=[plugin_path, stand_in, plugin_path]) as made:
        yield made


def summed(device, made, values, **how):
    """What all ranks have of the sum of their `values`; equal on all."""

    def work(rank):
        array = OnDevice(device, values[rank.rank])
        rank.allreduce(seen(array), **how)
        return array.get()

    first, *others = made.each(work)
    for other in others:
        np.testing.assert_array_equal(other, first)
    return first


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_runs_of_unlike_neighbours_follow_one_another(device, plugin_path, algorithm):
    # Of a ring two ranks are neighbours, of a broadcast others: a pair that has had no part in a
    # run meets again with the same kinds of flags, and who is done runs ahead.
    size, calls = 5, 12

    def work(rank):
        generator = np.random.default_rng(7)
        arrays = [OnDevice(device, np.zeros(LARGE + 64 * k, F32)) for k in range(calls)]
        for _ in range(8):
            expected, handles = [], []
            for array in arrays:
                device.plugin.put(np.full(array.shape, rank.rank + 1, F32), array.address)
                root = int(generator.integers(2 * size))
                if root < size:
                    handles.append(rank.submit(Collective.BROADCAST, seen(array), root=root))
                    expected.append({root + 1.0})
                else:
                    handles.append(rank.submit(Collective.ALLREDUCE, seen(array)))
                    expected.append({15.0})
            for handle in handles:
                finish(handle)
            assert [set(array.get().tolist()) for array in arrays] == expected

    with world(size, algorithm=algorithm, device_plugin=plugin_path) as made:
        made.each(work)


@shared_alone
def test_what_comes_again_is_one_launch_from_the_third_time_on(device, watched, written):
    # Of each half of the fusion buffer the second time is made a graph, and launched at once.
    for turn in range(9):
        values = [np.full(LARGE, rank + turn, F32) for rank in range(N)]
        assert set(summed(device, watched, values).tolist()) == {3.0 * turn + 3.0}
        assert written()["launched"] == max(0, turn - 1)
    assert written()["made"] == 2


@shared_alone
def test_what_differs_in_anything_is_no_repetition(device, watched, written):
    generator = np.random.default_rng(3)
    for turn in range(60):
        dtype = [F32, np.float16, np.int32][generator.integers(3)]
        count = int(generator.choice([40_000, 40_001, 60_000]))
        scale = 1.0 if dtype is np.int32 else float(generator.choice([1.0, 0.5]))
        values = [np.full(count, rank + turn, dtype) for rank in range(N)]
        found = summed(device, watched, values, postscale=scale)
        assert set(found.tolist()) == {scale * (3 * turn + 3)}
    assert 0 < written()["launched"] < 60


@shared_alone
def test_results_go_where_each_call_has_them(device, watched):
    held = []
    for turn in range(8):
        parts = [OnDevice(device, np.full(LARGE + 64 * rank, turn, F32)) for rank in range(N)]
        results = watched.each(lambda rank, p=parts: rank.allgather(seen(p[rank.rank])))
        for result in results:
            assert set(values_in(device, result, F32).tolist()) == {float(turn)}
        held.append(results if turn % 3 else None)  # so addresses come again, and do not


@shared_alone
def test_groups_repeat_their_runs_side_by_side(device, watched, written):
    pair = watched.group(0, 1)

    def work(rank):
        groups = [0, pair.number[rank.rank]] if rank.rank in pair.members else [0]
        found = []
        for _ in range(8):
            arrays = [OnDevice(device, np.full(LARGE, rank.rank + 1, F32)) for _ in groups]
            handles = [
                rank.submit(Collective.ALLREDUCE, seen(x), group=group)
                for x, group in zip(arrays, groups, strict=True)
            ]
            for handle in handles:
                finish(handle)
            found.append([float(x.get()[-1]) for x in arrays])
        return found

    assert watched.each(work) == [[[6.0, 3.0]] * 8, [[6.0, 3.0]] * 8, [[6.0]] * 8]
    assert written()["made"] == 4
    pair.close_all()


@shared_alone
@pytest.mark.parametrize("call", ["begin_graph", "wait_flag", "end_graph", "launch_graph"])
def test_a_rank_without_graphs_goes_on_beside_ranks_that_have_them(
    device, watched, written, monkeypatch, call
):
    monkeypatch.setenv("STAND_IN_REFUSES", call)
    for turn in range(8):
        values = [np.full(LARGE, rank + turn, F32) for rank in range(N)]
        assert set(summed(device, watched, values).tolist()) == {3.0 * turn + 3.0}
    assert written()["launched"] == 0
    watched.require_usable()


@shared_alone
def test_few_graphs_are_kept_and_none_is_left_behind(device, plugin_path, stand_in, written):
    with world(2, device_plugin=[plugin_path, stand_in]) as made:

        def work(rank):
            array = OnDevice(device, np.zeros(LARGE * 2, F32))
            for k in range(150):
                array.shape = (LARGE + 64 * k,)
                for _ in range(4):  # twice in each half
                    rank.allreduce(seen(array))

        made.each(work)
        found = written()
        assert found["made"] == 300
        assert found["made"] - found["gone"] == 256
    made.ranks.clear()
    assert written()["gone"] == 300


@shared_alone
def test_two_hundred_steps_have_the_bits_of_those_without_graphs(
    device, plugin_path, stand_in, monkeypatch
):
    def trained(plugins):
        def work(rank):
            generator = np.random.default_rng(rank.rank)
            weights = [np.ones(n, F32) for n in (9_000, 17, 12_000)]
            gradients = [OnDevice(device, x) for x in weights]
            for _ in range(200):
                for weight, gradient in zip(weights, gradients, strict=True):
                    noise = generator.standard_normal(weight.shape, F32)
                    device.plugin.put(weight * F32(0.1) + noise, gradient.address)
                finish(rank.submit_all([seen(x) for x in gradients], op=Op.AVERAGE, name="g"))
                for weight, gradient in zip(weights, gradients, strict=True):
                    np.subtract(weight, F32(0.05) * gradient.get(), out=weight)
            return b"".join(x.tobytes() for x in weights)

        with world(2, device_plugin=plugins) as made:
            first, second = made.each(work)
        assert first == second
        return first

    with_graphs = trained(plugin_path)
    monkeypatch.setenv("STAND_IN_REFUSES", "begin_graph")
    assert trained(stand_in) == with_graphs


@pytest.mark.alone
@shared_alone
@pytest.mark.runs_out
def test_a_rank_that_stands_still_amid_graphs_is_told_in_time(device, watched, written, gate):
    for _ in range(6):
        summed(device, watched, [np.ones(LARGE, F32)] * N)
    assert written()["launched"] > 0
    streams = [None, None, gate.stream]
    arrays = [OnDevice(device, np.ones(LARGE, F32), stream=stream) for stream in streams]
    device.keep_memory()
    gate.close()

    def work(rank):
        handles = [  # several runs that wait, one behind the other
            rank.submit(Collective.ALLREDUCE, seen(arrays[rank.rank]), timeout_s=0.5)
            for _ in range(4)
        ]
        for handle in handles:
            finish(handle)

    outcomes = watched.outcomes(work)
    assert all(isinstance(one, (TimedOutError, PeerLostError)) for one in outcomes), outcomes
