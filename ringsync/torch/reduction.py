"""What an allreduce of tensors is asked for, as a call; and how gradients flow through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ringsync.collectives import ReduceOp
from ringsync.collectives.call import Terms
from ringsync.kinds import Collective
from ringsync.torch.adasum import adasum_call
from ringsync.torch.asking import Adasum, Average, key_of, scale_before, terms_of
from ringsync.torch.handles import Call, perform
from ringsync.torch.process_sets import ProcessSet, group_of
from ringsync.torch.tensors import copy_of, in_place, through


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reduction is asked for, but for its tensors.

    Attributes:
        place: The public function's name, for messages.
        name: As the caller gave it.
        op: How several values become one.
        prescale: Factor before.
        postscale: Factor after.
        process_set: Whose ranks reduce.
    """

    place: str
    name: str | None
    op: ReduceOp
    prescale: float
    postscale: float
    process_set: ProcessSet

    def perform(self, *tensors: torch.Tensor) -> Sequence[torch.Tensor]:
        """Reduce copies, through which gradients flow where any is wanted.

        Args:
            tensors: One, or several of a grouped call.

        Returns:
            New tensors.
        """
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
            reduced: tuple[torch.Tensor, ...] = through(_Allreduce, self, *tensors)
            return reduced
        return self.perform_on([copy_of(tensor) for tensor in tensors])

    def perform_on(self, tensors: list[torch.Tensor]) -> Sequence[torch.Tensor]:
        """Reduce in place.

        Args:
            tensors: Likewise; overwritten.

        Returns:
            `tensors`.
        """
        if self.place == "allreduce":
            return [perform(self.call(tensors[0]))]
        reduced: list[torch.Tensor] = perform(self.grouped_call(tensors))
        return reduced

    def call(self, tensor: torch.Tensor) -> Call:
        """Ask for the reduction of one tensor, in place.

        Args:
            tensor: Overwritten.

        Returns:
            The call.
        """
        group = group_of("Allreduce", self.process_set)
        key = key_of("allreduce", self.name)
        if self.op is Adasum:
            return adasum_call(self.place, [tensor], key, group, lambda reduced: reduced[0])
        terms, divisor = self._terms([tensor])
        scale_before(tensor, self.prescale)
        target, finish = in_place(tensor, divisor)
        return Call(self.place, Collective.ALLREDUCE, target, key, group, finish, terms)

    def grouped_call(self, tensors: list[torch.Tensor]) -> Call:
        """Ask for the reduction of several tensors, in place.

        Args:
            tensors: Overwritten.

        Returns:
            The call.
        """
        group = group_of("Allreduce", self.process_set)
        key = key_of("grouped_allreduce", self.name)
        if self.op is Adasum:
            return adasum_call(self.place, tensors, key, group, lambda reduced: reduced)
        terms, divisor = self._terms(tensors)
        for tensor in tensors:
            scale_before(tensor, self.prescale)
        prepared = [in_place(tensor, divisor) for tensor in tensors]

        def finish_all(_: Any) -> list[torch.Tensor]:
            return [finish(None) for _, finish in prepared]

        targets = [target for target, _ in prepared]
        return Call(self.place, Collective.ALLREDUCE, targets, key, group, finish_all, terms)

    def _terms(self, tensors: list[torch.Tensor]) -> tuple[Terms, int]:
        """What the engine does, and what is left to divide by.

        An average multiplies by 1/n. Of another number of ranks than a power of 2 that is not the
        division that a script compares with, so sums of wide floats are divided here.
        """
        ranks = self.process_set.size() or 1
        is_wide = all(tensor.dtype in {torch.float32, torch.float64} for tensor in tensors)
        after = self.postscale
        if self.op is not Average or not is_wide or 1 / ranks * (after * ranks) != after:
            return terms_of(self.place, self.op, self.prescale, after), 1
        is_exact = ranks & (ranks - 1) == 0
        rest = after if is_exact else after * ranks
        return terms_of(self.place, self.op, self.prescale, rest), 1 if is_exact else ranks


class _Allreduce(torch.autograd.Function):
    """The gradient of a reduction is reduced alike."""

    @staticmethod
    def forward(ctx: Any, asked: Asked, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.asked = asked
        return tuple(asked.perform_on([copy_of(tensor) for tensor in tensors]))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        # Its name may be in flight by now, and ranks go backward in one order.
        asked = replace(ctx.asked, name=None)
        return (None, *asked.perform(*gradients))
