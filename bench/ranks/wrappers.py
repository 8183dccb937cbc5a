"""Ways to train one torch network on several ranks: each library's own wrapper, used as it says.

When a step is taken and timed is training.py's matter.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed

import ringsync.torch as hvd
from bench.ranks.chain import Chain
from bench.spin import SpinBarrier
from ringsync.torch import ProcessSet

# The arithmetic is that of any other, and all ranks' values stay equal, those of plain steps too.
_LEARNING_RATE = 0.0
_COST_CALLS = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a wrapper works: one process of one contender.

    Attributes:
        rank: Number of this process among its contender's.
        size: Number of those.
        directory: Of the run, the same for all.
        process_set: Those of ringsync's world.
        barrier: Where they meet.
    """

    rank: int
    size: int
    directory: Path
    process_set: ProcessSet
    barrier: SpinBarrier


@dataclass(frozen=True, slots=True)
class Trainee:
    """A network and what updates it.

    Attributes:
        net: What computes, wrapped or not.
        optimizer: Likewise.
        cleaner: Whose `zero_grad` clears gradients.
    """

    net: torch.nn.Module
    optimizer: torch.optim.Optimizer
    cleaner: torch.nn.Module | torch.optim.Optimizer

    def step(self, x: torch.Tensor, *, set_to_none: bool) -> None:
        """Train on one batch.

        Args:
            x: This rank's samples.
            set_to_none: Gradients are dropped before, as by torch's default, rather than kept and
                overwritten with zeros.
        """
        self.cleaner.zero_grad(set_to_none=set_to_none)
        y = self.net(x)
        (y * y).mean().backward()
        self.optimizer.step()


def make_trainee(name: str, values: Sequence[torch.Tensor], place: Place) -> Trainee:
    """Make a network and let a library wrap it.

    Args:
        name: `plain` for no library, or who wraps it: `ringsync`; `ddp`, as it comes, or
            `ddp-views`, whose gradients are views of its buckets; `horovod`.
        values: Of the parameters.
        place: This rank's.

    Returns:
        What can be trained.
    """
    return _MAKERS[name](Chain(values), place)


def wrapper_costs_s(values: Sequence[torch.Tensor]) -> tuple[dict[str, int], list[float]]:
    """Time what ringsync's wrapper adds to a step, around an optimizer that does nothing.

    Args:
        values: Of the parameters.

    Returns:
        Number of calls in a step by name; and of many steps, what all calls took.
    """
    net = Chain(values)
    still = _Still(net.parameters())
    optimizer = hvd.DistributedOptimizer(still, named_parameters=net.named_parameters())
    hooks = sum(len(p._post_accumulate_grad_hooks or ()) for p in net.parameters())
    times_s = []
    for _ in range(_COST_CALLS):
        start_ns = time.perf_counter_ns()
        optimizer.zero_grad()
        optimizer.step()
        times_s.append((time.perf_counter_ns() - start_ns) / 1e9)
    return {"hooks": hooks, "zero_grad": 1, "step": 1}, times_s


class _Still(torch.optim.Optimizer):
    """Updates nothing, so that what is timed is the wrapper alone."""

    def __init__(self, parameters: Iterable[torch.Tensor]) -> None:
        super().__init__(parameters, {})

    # Torch's own has two forms, of which the one with a closure returns what that does.
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Do nothing."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Do nothing."""


def _plain(net: Chain, _place: Place) -> Trainee:
    return _usual(net, _sgd(net))


def _ringsync(net: Chain, place: Place) -> Trainee:
    optimizer = hvd.DistributedOptimizer(
        _sgd(net), named_parameters=net.named_parameters(), process_set=place.process_set
    )
    return _usual(net, optimizer)


def _horovod(net: Chain, place: Place) -> Trainee:
    # Its launcher has numbered the processes of all contenders; its world are these.
    for scope in ("", "LOCAL_"):
        os.environ[f"HOROVOD_{scope}RANK"] = str(place.rank)
        os.environ[f"HOROVOD_{scope}SIZE"] = str(place.size)
    horovod = importlib.import_module("horovod.torch")
    horovod.init()
    optimizer: torch.optim.Optimizer = horovod.DistributedOptimizer(
        _sgd(net), named_parameters=net.named_parameters()
    )
    # Its optimizer knows no `set_to_none`.
    return Trainee(net, optimizer, cleaner=net)


def _ddp(net: Chain, place: Place) -> Trainee:
    return _with_ddp(net, place, has_views=False)


def _ddp_views(net: Chain, place: Place) -> Trainee:
    return _with_ddp(net, place, has_views=True)


def _with_ddp(net: Chain, place: Place, *, has_views: bool) -> Trainee:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # one host; its own name need not be known
    store = (place.directory / f"ddp-{has_views}").as_uri()  # a file in which its ranks meet
    distributed.init_process_group(
        "gloo", init_method=store, rank=place.rank, world_size=place.size
    )
    wrapped = torch.nn.parallel.DistributedDataParallel(net, gradient_as_bucket_view=has_views)
    return _usual(wrapped, _sgd(net))


_MAKERS: dict[str, Callable[[Chain, Place], Trainee]] = {
    "plain": _plain,
    "ringsync": _ringsync,
    "ddp": _ddp,
    "ddp-views": _ddp_views,
    "horovod": _horovod,
}


def _usual(net: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Trainee:
    """One whose optimizer clears gradients, as users let it."""
    return Trainee(net, optimizer, cleaner=optimizer)


def _sgd(net: Chain) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), lr=_LEARNING_RATE)
