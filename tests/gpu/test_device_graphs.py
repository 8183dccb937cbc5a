"""Runs over devices' shared memory: their flags are constants, so that graphs can repeat them."""

import numpy as np
import pytest

from ..ranks import ALGORITHMS, Collective, finish, world
from .arrays import OnDevice, seen

F32 = np.float32
LARGE = 20_000


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
