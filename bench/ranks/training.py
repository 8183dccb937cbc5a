"""One rank of `bench.overlap --peers`: steps of one torch network, wrapped by several libraries.

All kinds of step take turns, each begun by all ranks at once, so that what slows the machine slows
all alike.
"""

from __future__ import annotations

import itertools
import os

import torch

from bench.measure import collector_paused, time_together
from bench.rank import Rank
from bench.ranks.chain import make_values
from bench.ranks.wrappers import Place, Trainee, make_trainee, wrapper_costs_s
from bench.series import Fact, Series
from bench.shapes import model_shapes
from bench.training import Task

_WARM_UP_STEPS = 3  # the first lays out memory, DDP lays it out anew in the second
_INPUTS = 512
# What becomes of gradients between steps, and whether zero_grad sets them to None then.
_FATES = {"dropped": True, "kept": False}


def main() -> None:
    """Train and deliver."""
    rank = Rank()
    task = Task(**rank.read_task())
    # A core each; with more threads than cores they would wait for one another.
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // rank.size))
    values = make_values(model_shapes(task.shape))
    found: list[Series] = []
    if task.counts_wrapper:
        calls, times_s = wrapper_costs_s(values)
        found.append(Series("wrapper", times_s, {"shape": task.shape, **calls}))
    place = Place(rank.rank, rank.size, rank.directory)
    trainees = {name: make_trainee(name, values, place) for name in task.contenders}
    rank.deliver([*_take_turns(rank, task, trainees), *found])
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _take_turns(rank: Rank, task: Task, trainees: dict[str, Trainee]) -> list[Series]:
    samples = len(range(rank.rank, task.batch, rank.size))
    generator = torch.Generator().manual_seed(rank.rank)
    x = torch.rand(samples, _INPUTS, generator=generator)
    kinds = list(itertools.product(_FATES, trainees))
    times_ns: dict[tuple[str, str], list[int]] = {kind: [] for kind in kinds}
    with collector_paused():
        for number in range(_WARM_UP_STEPS + task.steps):
            # Whoever comes first after the rest finds other caches than the second.
            first = number % len(kinds)
            for fate, name in kinds[first:] + kinds[:first]:
                trainee = trainees[name]

                def step(trainee: Trainee = trainee, fate: str = fate) -> None:
                    trainee.step(x, set_to_none=_FATES[fate])

                times_ns[fate, name] += time_together(step, lambda: None, rank.barrier, 1)
    return [
        Series(
            f"{task.shape}-{fate}-{name}",
            rank.slowest_s(times_ns[fate, name][_WARM_UP_STEPS:]),
            _facts(rank, task, fate, name),
        )
        for fate, name in kinds
    ]


def _facts(rank: Rank, task: Task, fate: str, name: str) -> dict[str, Fact]:
    return {
        "np": rank.size,
        "batch": task.batch,
        "shape": task.shape,
        "contender": name,
        "gradients": fate,
    }


if __name__ == "__main__":
    main()
