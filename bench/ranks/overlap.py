"""One rank of `bench.overlap`: training steps with and without the exchange of gradients.

The kinds of step take turns on equal networks and the same batches, each step begun by all ranks
at once, so that what slows the machine slows all kinds alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

import ringsync as rs
from bench.measure import collector_paused, time_together
from bench.rank import Rank
from bench.series import Fact, Series
from ringsync import data, models, nn, optim

_WARM_UP_STEPS = 5  # first steps compare the ranks' parameters and fill caches
_LEARNING_RATE = 0.01
_MOMENTUM = 0.9

Batch = tuple[npt.NDArray[Any], npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Task:
    """What to measure.

    Attributes:
        steps: Timed steps of each kind.
        batch: Samples of a step, of all ranks together.
        bucket_mib: Largest buckets to try; 0 stands for the library's own choice.
    """

    steps: int
    batch: int
    bucket_mib: Sequence[float]


@dataclass(slots=True)
class _Kind:
    """One way to take a step, and what its steps have shown so far."""

    name: str
    net: nn.Sequential
    optimizer: optim.Optimizer | rs.DistributedOptimizer
    facts: dict[str, Fact]
    times_s: list[float] = field(default_factory=list)
    communication_ms: list[float] = field(default_factory=list)
    hidden_ms: list[float] = field(default_factory=list)

    def step(self, batch: Batch) -> None:
        """Train on one batch."""
        x, y = batch
        self.optimizer.zero_grad()
        nn.cross_entropy(self.net(x), y).backward()
        self.optimizer.step()


def main() -> None:
    """Train and deliver."""
    rank = Rank()
    task = Task(**rank.read_task())
    kinds = [_plain(rank.size), *(_wrapped(mib, rank.size) for mib in task.bucket_mib)]
    batches = _batches(rank, task.batch)
    with collector_paused():
        for number in range(_WARM_UP_STEPS + task.steps):
            batch = next(batches)
            # Whoever comes first after the rest finds other caches than the second.
            first = number % len(kinds)
            for kind in kinds[first:] + kinds[:first]:
                _take_step(rank, kind, batch, is_kept=number >= _WARM_UP_STEPS)
    rank.deliver([_series(kind, task.steps) for kind in kinds])


def _batches(rank: Rank, batch: int) -> Iterator[Batch]:
    shard = data.digits().shard(rank.rank, rank.size)
    for epoch in itertools.count():
        yield from shard.batches(batch, shuffle=epoch)


def _plain(size: int) -> _Kind:
    net = models.lenet()
    # The exchange gives gradients a lasting place; without one a step would also pay for new
    # memory, and look slower than the same step with the exchange.
    for parameter in net.parameters():
        parameter.grad_buffer = np.zeros_like(parameter.data)
    return _Kind("plain", net, _sgd(net), {"np": size})


def _wrapped(mib: float, size: int) -> _Kind:
    net = models.lenet()
    optimizer = rs.DistributedOptimizer(_sgd(net), bucket_mib=mib or None)
    name = f"buckets-{mib:g}MiB" if mib else "buckets-default"
    return _Kind(name, net, optimizer, {"np": size, "bucket_mib": mib})


def _sgd(net: nn.Sequential) -> optim.SGD:
    return optim.SGD(net.parameters(), lr=_LEARNING_RATE, momentum=_MOMENTUM)


def _take_step(rank: Rank, kind: _Kind, batch: Batch, *, is_kept: bool) -> None:
    times_ns = time_together(lambda: kind.step(batch), lambda: None, rank.barrier, 1)
    slowest_s = rank.slowest_s(times_ns)
    stats = (
        kind.optimizer.take_stats() if isinstance(kind.optimizer, rs.DistributedOptimizer) else None
    )
    if is_kept:
        kind.times_s += slowest_s
    if is_kept and stats is not None:
        kind.communication_ms.append(stats.communication_ms)
        kind.hidden_ms.append(stats.hidden_ms)


def _series(kind: _Kind, steps: int) -> Series:
    if kind.communication_ms:
        own = np.array([kind.communication_ms, kind.hidden_ms])
        # Both figures of the rank that communicated longest in that step.
        everyone = rs.allgather(own[np.newaxis])
        longest = everyone[:, 0].argmax(axis=0)
        communication, hidden = (everyone[longest, i, np.arange(steps)] for i in (0, 1))
        kind.facts["communication_ms"] = float(np.median(communication))
        shares = hidden / np.maximum(communication, 1e-9)
        kind.facts["overlap"] = float(np.median(shares))
    return Series(kind.name, kind.times_s, kind.facts)


if __name__ == "__main__":
    main()
