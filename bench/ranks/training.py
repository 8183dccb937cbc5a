"""One rank of `bench.overlap --peers`: steps of one torch network, wrapped by one of the libraries.

Each contender has processes of its own, as in training: heaps and caches are what that contender
makes of them, not another. Contenders take turns, and the ranks of one begin each step at once; the
others sleep meanwhile. What slows the machine slows all alike.
"""

from __future__ import annotations

import numpy as np
import torch

import ringsync as rs
import ringsync.torch as hvd
from bench.measure import collector_paused, time_together
from bench.rank import Rank
from bench.ranks.chain import make_values
from bench.ranks.wrappers import Place, Trainee, make_trainee, wrapper_costs_s
from bench.series import Fact, Series
from bench.shapes import model_shapes
from bench.spin import SpinBarrier, make_barrier_file
from bench.training import Task

_WARM_UP_TURNS = 3  # the first lays out memory, DDP lays it out anew in the second
_INPUTS = 512
# What becomes of gradients between steps, and whether zero_grad sets them to None then.
_FATES = {"dropped": True, "kept": False}
_NS_PER_S = 1e9


def main() -> None:
    """Train and deliver."""
    rank = Rank()
    task = Task(**rank.read_task())
    torch.set_num_threads(task.threads)
    values = make_values(model_shapes(task.shape))
    found: list[Series] = []
    if task.counts_wrapper:
        calls, times_s = wrapper_costs_s(values)
        found.append(Series("wrapper", times_s, {"shape": task.shape, **calls}))
    size = rank.size // len(task.contenders)
    place = _find_place(rank, task, size)
    trainee = make_trainee(task.contenders[rank.rank // size], values, place)
    rank.deliver([*_take_turns(rank, task, place, trainee), *found])
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _find_place(rank: Rank, task: Task, size: int) -> Place:
    """This process among those of its contender; every rank helps to make all sets."""
    sets = [
        hvd.add_process_set(range(first, first + size)) if size < rank.size else None
        for first in range(0, rank.size, size)
    ]
    number, own_rank = divmod(rank.rank, size)
    name = task.contenders[number]
    barrier = rank.directory / f"barrier-{name}"
    if own_rank == 0:
        make_barrier_file(barrier, size)
    rs.barrier()
    return Place(
        own_rank,
        size,
        rank.directory,
        sets[number] or hvd.global_process_set,
        SpinBarrier(barrier, own_rank, size),
    )


def _take_turns(rank: Rank, task: Task, place: Place, trainee: Trainee) -> list[Series]:
    samples = len(range(place.rank, task.batch, place.size))
    generator = torch.Generator().manual_seed(place.rank)
    x = torch.rand(samples, _INPUTS, generator=generator)
    own, count = rank.rank // place.size, len(task.contenders)
    series = []
    for fate, is_dropped in _FATES.items():
        times_ns: list[int] = []

        def step(is_dropped: bool = is_dropped) -> None:
            trainee.step(x, set_to_none=is_dropped)

        with collector_paused():
            for turn in range(_WARM_UP_TURNS + task.steps):
                for place_in_turn in range(count):
                    rs.barrier()
                    # Whoever comes first after the rest finds other caches than the second.
                    if (turn + place_in_turn) % count == own:
                        # The first of two steps finds caches full of others' memory.
                        times_ns += time_together(step, step, place.barrier, 1)
        gathered = rs.allgather(np.array([times_ns[_WARM_UP_TURNS:]], np.float64)) / _NS_PER_S
        for number, name in enumerate(task.contenders):
            ranks = gathered[number * place.size : (number + 1) * place.size]
            times_s: list[float] = ranks.max(axis=0).tolist()
            facts = _facts(place, task, fate, name)
            series.append(Series(f"{task.shape}-{fate}-{name}", times_s, facts))
    return series


def _facts(place: Place, task: Task, fate: str, name: str) -> dict[str, Fact]:
    return {
        "np": place.size,
        "batch": task.batch,
        "shape": task.shape,
        "contender": name,
        "gradients": fate,
    }


if __name__ == "__main__":
    main()
