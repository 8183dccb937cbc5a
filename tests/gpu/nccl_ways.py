"""By what sums are made on the simulated device, in worlds whose ranks may find the fake NCCL."""

import numpy as np

from .arrays import OnDevice, seen

N = 3
F32 = np.float32
LARGE = 100_003


def ways_in(events):
    """By what ranks have summed on devices, of what was recorded."""
    return {name for lane, name, *_ in events if lane == "device" and name in {"run", "nccl"}}


def watched(made, call):
    """What `call` returns on each rank, and by what its work on devices was done."""

    def work(rank):
        rank.engine.start_events()
        result = call(rank)
        events = rank.engine.take_events()
        rank.engine.stop_events()
        return result, ways_in(events)

    results, found = zip(*made.each(work), strict=True)
    return results, set().union(*found)


def ways_of(device, made, group, count=LARGE):
    """By what a sum is made in a group, whose ranks alone make it."""

    def work(rank):
        if rank.rank not in group.members:
            return set()
        x = OnDevice(device, np.full(count, 1, F32))
        rank.engine.start_events()
        rank.allreduce(seen(x), group=group.number[rank.rank])
        rank.engine.stop_events()
        assert (x.get() == len(group.members)).all()
        return ways_in(rank.engine.take_events())

    return set().union(*made.each(work))


def ways(device, made, count=LARGE):
    """By what one sum is made on all ranks."""
    arrays = [OnDevice(device, np.full(count, rank + 1, F32)) for rank in range(N)]
    _, found = watched(made, lambda rank: rank.allreduce(seen(arrays[rank.rank])))
    assert all((array.get() == 6).all() for array in arrays)
    return found
