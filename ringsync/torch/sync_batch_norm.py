"""Batch normalization over the batches of all ranks together, on the CPU as on a GPU.

Normalizing and its gradient are torch's own, with given statistics. What is here is how the ranks'
statistics become one, forward and backward.
"""

from __future__ import annotations

import weakref
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  as torch's users write it
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from ringsync import runtime
from ringsync.collectives import Sum
from ringsync.torch.basics import size
from ringsync.torch.gathering import allgather
from ringsync.torch.process_sets import ProcessSet, global_process_set
from ringsync.torch.reducing import allreduce
from ringsync.torch.tensors import through

_LEAST_DIMENSIONS = 2


class SyncBatchNorm(_BatchNorm):
    """Batch normalization as if all ranks' batches were one; they may differ in size, or be empty.

    Ranks meet in training alone: evaluation, and a single rank, do as `torch.nn.BatchNorm2d` does.
    All ranks run their layers in the same order, each as often as the others.

    Cost: 2C + 1 numbers sent per rank forward, 2C backward; each in one message.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        process_set: ProcessSet | None = None,
    ) -> None:
        """Make a layer for inputs of shape (N, num_features, ...).

        Args:
            num_features: Channels.
            eps: Added to the variance.
            momentum: Weight of a batch in the running statistics; None averages all batches.
            affine: Learn a weight and a bias per channel.
            track_running_stats: Keep running statistics, which evaluation uses.
            process_set: Whose batches are one; None: all ranks'. ringsync's own addition.
        """
        super().__init__(num_features, eps, momentum, affine, track_running_stats)
        self.process_set = process_set

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  torch's name
        """Normalize a batch.

        Args:
            input: Of shape (N, num_features, ...), floating.

        Returns:
            A tensor of its shape and dtype.

        Raises:
            ValueError: `input` has no channels, all ranks together have one value per channel, or
                ringsync has not been initialized.
            HorovodInternalError: Ranks have other numbers of channels, or one died.
        """
        self._check_input_dim(input)
        if not self.training or self._size() == 1:
            alone: torch.Tensor = super().forward(input)
            return alone
        name = f"sync_batch_norm.{_numbers.number_of(self)}"
        meeting = _Meeting(name, self.process_set or global_process_set, self.eps)
        normalized: torch.Tensor
        normalized, mean, variance, count = through(
            _Normalize, input, self.weight, self.bias, meeting
        )
        if self.running_mean is not None:
            self._track(mean, variance, int(count))
        return normalized

    def _check_input_dim(self, input: torch.Tensor) -> None:  # noqa: A002  torch's name
        if input.dim() < _LEAST_DIMENSIONS:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")

    def _size(self) -> int:
        # None is told by the first collective, which names what is wrong.
        return size() if self.process_set is None else self.process_set.size() or 0

    @torch.no_grad()
    def _track(self, mean: torch.Tensor, variance: torch.Tensor, count: int) -> None:
        assert self.num_batches_tracked is not None  # nor are the others
        self.num_batches_tracked.add_(1)
        weight = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        unbiased = variance * (count / (count - 1))
        for running, batch in ((self.running_mean, mean), (self.running_var, unbiased)):
            assert running is not None
            dtype = _wide_dtype(running)
            running.copy_(torch.lerp(running.to(dtype), batch.to(running.device, dtype), weight))


@dataclass(frozen=True, slots=True)
class _Meeting:
    """Where the ranks of one layer meet, and what is added to their variance.

    A name is free again when a call returns, so that a layer keeps its own.
    """

    name: str
    process_set: ProcessSet
    eps: float


class _Normalize(torch.autograd.Function):
    """Batch normalization by the statistics of all ranks."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        meeting: _Meeting,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        mean, variance, count = _statistics(x, meeting)
        ctx.mark_non_differentiable(mean, variance, count)
        ctx.save_for_backward(x, weight, mean, variance, count)
        ctx.meeting = meeting
        ctx.bias_dtype = None if bias is None else bias.dtype
        return _normalized(x, mean, variance, weight, bias, meeting.eps), mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor, *_: Any) -> tuple[torch.Tensor | None, ...]:
        x, weight, mean, variance, count = ctx.saved_tensors
        meeting: _Meeting = ctx.meeting
        given, by_weight, by_bias = _gradients(
            _wide(gradient), _wide(x), weight, mean, variance, meeting.eps
        )
        by_input = None
        if ctx.needs_input_grad[0]:
            # What the batch's mean and variance, and so all ranks' inputs, contribute.
            sums = allreduce(
                torch.stack((by_weight, by_bias)).cpu().double(),
                name=f"{meeting.name}.backward",
                op=Sum,
                process_set=meeting.process_set,
            )
            scale = torch.rsqrt(variance + meeting.eps) / count
            if weight is not None:
                scale = scale * weight.cpu()
            of_weight, of_bias = (sums * scale).unbind()
            shared = _normalized(_wide(x), mean, variance, of_weight, of_bias, meeting.eps)
            by_input = (given - shared).to(x.dtype)
        return (
            by_input,
            None if weight is None else by_weight.to(weight.dtype),
            None if ctx.bias_dtype is None else by_bias.to(ctx.bias_dtype),
            None,
        )


def _statistics(
    x: torch.Tensor, meeting: _Meeting
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean, variance and count per channel over all ranks.

    Each rank sends its own mean and its squared deviations from that, so that nothing cancels. So
    few numbers travel through the CPU, in float64.

    Source: Chan, Golub & LeVeque, Stanford STAN-CS-79-773, 1979, the pairwise combination.
    """
    channels = x.size(1)
    own = torch.zeros(1, 2 * channels + 1, dtype=torch.float64)
    if x.numel():
        dims = [d for d in range(x.dim()) if d != 1]
        variance, mean = torch.var_mean(_wide(x), dims, correction=0)
        own[0, 0] = x.numel() // channels
        own[0, 1 : channels + 1] = mean
        own[0, channels + 1 :] = variance
        own[0, channels + 1 :] *= own[0, 0]
    every = allgather(own, name=f"{meeting.name}.forward", process_set=meeting.process_set)
    counts, means, deviations = torch.split(every, [1, channels, channels], dim=1)
    count = counts.sum()
    if count <= 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {list(x.shape)} "
            f"and {int(count)} per channel on all ranks together"
        )
    mean = (counts * means).sum(0) / count
    deviation = deviations.sum(0) + (counts * (means - mean).square()).sum(0)
    return mean, deviation / count, count


def _normalized(
    x: torch.Tensor,
    mean: torch.Tensor,
    variance: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    eps: float,
) -> torch.Tensor:
    """What evaluation does with running statistics."""
    place, dtype = x.device, _wide_dtype(x)
    weight = None if weight is None else weight.to(place, dtype)
    bias = None if bias is None else bias.to(place, dtype)
    mean, variance = mean.to(place, dtype), variance.to(place, dtype)
    return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)


def _gradients(
    gradient: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor | None,
    mean: torch.Tensor,
    variance: torch.Tensor,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Those by input, weight and bias of `_normalized`, by torch's own kernel of both devices."""
    if not x.numel():
        none = x.new_zeros(x.size(1))
        return torch.zeros_like(x), none, none
    weight = None if weight is None else weight.to(x.dtype)
    mean, variance = mean.to(x.device, x.dtype), variance.to(x.device, x.dtype)
    given: tuple[torch.Tensor, torch.Tensor, torch.Tensor] = (
        torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, mean, variance, None, None, False, eps, [True, True, True]
        )
    )
    return given


def _wide_dtype(x: torch.Tensor) -> torch.dtype:
    """In which sums are taken."""
    return x.dtype if x.dtype == torch.float64 else torch.float32


def _wide(x: torch.Tensor) -> torch.Tensor:
    return x.to(_wide_dtype(x))


class _Numbers:
    """Numbers the layers of each process set in the order of their first call in this world.

    That order is the same on all its ranks, even if one has made other layers too, or came later.
    """

    def __init__(self) -> None:
        self._world: weakref.ref[runtime.Runtime] | None = None
        self._by_layer = weakref.WeakKeyDictionary[SyncBatchNorm, int]()
        self._last = Counter[ProcessSet]()

    def number_of(self, layer: SyncBatchNorm) -> int:
        world = runtime.current()
        if self._world is None or self._world() is not world:
            self._world = weakref.ref(world)
            self._by_layer.clear()
            self._last.clear()
        if layer not in self._by_layer:
            process_set = layer.process_set or global_process_set
            self._last[process_set] += 1
            self._by_layer[layer] = self._last[process_set]
        return self._by_layer[layer]


# Of the process, as the world is; no part of a layer, so that layers can be copied and saved.
_numbers = _Numbers()
