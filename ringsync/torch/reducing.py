"""Reductions of tensors over all ranks, one or several at once, by Horovod's names.

Gradients flow through what is not in place, as Horovod has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ringsync.collectives import ReduceOp
from ringsync.kinds import Collective
from ringsync.torch.adasum import adasum_call
from ringsync.torch.asking import Adasum, checked_op, key_of, terms_of
from ringsync.torch.compression import Compression, Compressor
from ringsync.torch.handles import Call, begin, perform
from ringsync.torch.process_sets import ProcessSet, global_process_set, group_of
from ringsync.torch.tensors import check_tensor, copy_of, in_place, through


def allreduce(
    tensor: torch.Tensor,
    average: bool | None = None,
    name: str | None = None,
    compression: type[Compressor] = Compression.none,
    op: ReduceOp | None = None,
    prescale_factor: float = 1.0,
    postscale_factor: float = 1.0,
    process_set: ProcessSet = global_process_set,
) -> torch.Tensor:
    """Reduce a tensor over all ranks; every rank returns the same values.

    Args:
        tensor: Any shape and strides; every dtype of floats and integers of torch, bool by Min and
            Max. Shape and dtype equal on all ranks.
        average: Horovod's older way to say Average (True) or Sum (False).
        name: Key under which ranks meet; None pairs calls by order.
        compression: Form in which it travels.
        op: Average, Sum, Min, Max, Product or Adasum; None: Average.
        prescale_factor: What values are multiplied by before.
        postscale_factor: What the result is multiplied by.
        process_set: Whose ranks reduce.

    Returns:
        A new tensor; its gradient is reduced alike.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
        HorovodInternalError: Ranks disagree, one died, or time was up.
    """
    op = checked_op(op, average)
    small, context = compression.compress(check_tensor(tensor))
    asked = _Asked("allreduce", name, op, prescale_factor, postscale_factor, process_set)
    (reduced,) = asked.perform(small)
    return compression.decompress(reduced, context)


def allreduce_async(
    tensor: torch.Tensor,
    average: bool | None = None,
    name: str | None = None,
    op: ReduceOp | None = None,
    prescale_factor: float = 1.0,
    postscale_factor: float = 1.0,
    process_set: ProcessSet = global_process_set,
) -> int:
    """Start `allreduce`.

    Args:
        tensor: As for `allreduce`; copied before this returns.
        average: As for `allreduce`.
        name: As for `allreduce`.
        op: As for `allreduce`.
        prescale_factor: As for `allreduce`.
        postscale_factor: As for `allreduce`.
        process_set: As for `allreduce`.

    Returns:
        A handle, for `poll` and `synchronize`, which returns the new tensor.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
    """
    op = checked_op(op, average)
    asked = _Asked("allreduce", name, op, prescale_factor, postscale_factor, process_set)
    return begin(asked.call(copy_of(check_tensor(tensor))))


def allreduce_(
    tensor: torch.Tensor,
    average: bool | None = None,
    name: str | None = None,
    op: ReduceOp | None = None,
    prescale_factor: float = 1.0,
    postscale_factor: float = 1.0,
    process_set: ProcessSet = global_process_set,
) -> torch.Tensor:
    """Reduce a tensor in place.

    Args:
        tensor: As for `allreduce`; overwritten.
        average: As for `allreduce`.
        name: As for `allreduce`.
        op: As for `allreduce`.
        prescale_factor: As for `allreduce`.
        postscale_factor: As for `allreduce`.
        process_set: As for `allreduce`.

    Returns:
        `tensor`.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
        HorovodInternalError: Ranks disagree, one died, or time was up.
    """
    op = checked_op(op, average)
    asked = _Asked("allreduce", name, op, prescale_factor, postscale_factor, process_set)
    result: torch.Tensor = perform(asked.call(check_tensor(tensor)))
    return result


def allreduce_async_(
    tensor: torch.Tensor,
    average: bool | None = None,
    name: str | None = None,
    op: ReduceOp | None = None,
    prescale_factor: float = 1.0,
    postscale_factor: float = 1.0,
    process_set: ProcessSet = global_process_set,
) -> int:
    """Start `allreduce_`.

    Args:
        tensor: As for `allreduce_`; not to be touched until it is synchronized.
        average: As for `allreduce`.
        name: As for `allreduce`.
        op: As for `allreduce`.
        prescale_factor: As for `allreduce`.
        postscale_factor: As for `allreduce`.
        process_set: As for `allreduce`.

    Returns:
        A handle, for `poll` and `synchronize`, which returns `tensor`.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
    """
    op = checked_op(op, average)
    asked = _Asked("allreduce", name, op, prescale_factor, postscale_factor, process_set)
    return begin(asked.call(check_tensor(tensor)))


def grouped_allreduce(
    tensors: Sequence[torch.Tensor],
    average: bool | None = None,
    name: str | None = None,
    compression: type[Compressor] = Compression.none,
    op: ReduceOp | None = None,
    prescale_factor: float = 1.0,
    postscale_factor: float = 1.0,
    process_set: ProcessSet = global_process_set,
) -> list[torch.Tensor]:
    """Reduce several tensors over all ranks, in one stroke.

    Args:
        tensors: As for `allreduce`; equally many on all ranks.
        average: As for `allreduce`.
        name: As for `allreduce`; number i is named `name.i`.
        compression: As for `allreduce`.
        op: As for `allreduce`.
        prescale_factor: As for `allreduce`.
        postscale_factor: As for `allreduce`.
        process_set: As for `allreduce`.

    Returns:
        New tensors, in order; their gradients are reduced alike.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
        HorovodInternalError: Ranks disagree, one died, or time was up.
    """
    op = checked_op(op, average)
    small, contexts = (
        zip(*map(compression.compress, map(check_tensor, tensors)), strict=True)
        if tensors
        else ((), ())
    )
    asked = _Asked("grouped_allreduce", name, op, prescale_factor, postscale_factor, process_set)
    reduced = asked.perform(*small)
    return [compression.decompress(t, c) for t, c in zip(reduced, contexts, strict=True)]


def grouped_allreduce_async(
    tensors: Sequence[torch.Tensor],
    average: bool | None = None,
    name: str | None = None,
    op: ReduceOp | None = None,
    prescale_factor: float = 1.0,
    postscale_factor: float = 1.0,
    process_set: ProcessSet = global_process_set,
) -> int:
    """Start `grouped_allreduce`.

    Args:
        tensors: As for `grouped_allreduce`; copied before this returns.
        average: As for `allreduce`.
        name: As for `grouped_allreduce`.
        op: As for `allreduce`.
        prescale_factor: As for `allreduce`.
        postscale_factor: As for `allreduce`.
        process_set: As for `allreduce`.

    Returns:
        A handle, for `poll` and `synchronize`, which returns the list of new tensors.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
    """
    op = checked_op(op, average)
    asked = _Asked("grouped_allreduce", name, op, prescale_factor, postscale_factor, process_set)
    return begin(asked.grouped_call([copy_of(check_tensor(tensor)) for tensor in tensors]))


def grouped_allreduce_(
    tensors: Sequence[torch.Tensor],
    average: bool | None = None,
    name: str | None = None,
    op: ReduceOp | None = None,
    prescale_factor: float = 1.0,
    postscale_factor: float = 1.0,
    process_set: ProcessSet = global_process_set,
) -> list[torch.Tensor]:
    """Reduce several tensors in place, in one stroke.

    Args:
        tensors: As for `grouped_allreduce`; overwritten.
        average: As for `allreduce`.
        name: As for `grouped_allreduce`.
        op: As for `allreduce`.
        prescale_factor: As for `allreduce`.
        postscale_factor: As for `allreduce`.
        process_set: As for `allreduce`.

    Returns:
        `tensors`.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
        HorovodInternalError: Ranks disagree, one died, or time was up.
    """
    op = checked_op(op, average)
    asked = _Asked("grouped_allreduce", name, op, prescale_factor, postscale_factor, process_set)
    result: list[torch.Tensor] = perform(asked.grouped_call([*map(check_tensor, tensors)]))
    return result


def grouped_allreduce_async_(
    tensors: Sequence[torch.Tensor],
    average: bool | None = None,
    name: str | None = None,
    op: ReduceOp | None = None,
    prescale_factor: float = 1.0,
    postscale_factor: float = 1.0,
    process_set: ProcessSet = global_process_set,
) -> int:
    """Start `grouped_allreduce_`.

    Args:
        tensors: As for `grouped_allreduce_`; not to be touched until they are synchronized.
        average: As for `allreduce`.
        name: As for `grouped_allreduce`.
        op: As for `allreduce`.
        prescale_factor: As for `allreduce`.
        postscale_factor: As for `allreduce`.
        process_set: As for `allreduce`.

    Returns:
        A handle, for `poll` and `synchronize`, which returns `tensors`.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
    """
    op = checked_op(op, average)
    asked = _Asked("grouped_allreduce", name, op, prescale_factor, postscale_factor, process_set)
    return begin(asked.grouped_call([*map(check_tensor, tensors)]))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a reduction is asked for, but for its tensors."""

    place: str
    name: str | None
    op: ReduceOp
    prescale: float
    postscale: float
    process_set: ProcessSet

    def perform(self, *tensors: torch.Tensor) -> Sequence[torch.Tensor]:
        """Reduce copies, through which gradients flow where any is wanted."""
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
            reduced: tuple[torch.Tensor, ...] = through(_Allreduce, self, *tensors)
            return reduced
        return self.perform_on([copy_of(tensor) for tensor in tensors])

    def perform_on(self, tensors: list[torch.Tensor]) -> Sequence[torch.Tensor]:
        """Reduce in place."""
        if self.place == "allreduce":
            return [perform(self.call(tensors[0]))]
        reduced: list[torch.Tensor] = perform(self.grouped_call(tensors))
        return reduced

    def call(self, tensor: torch.Tensor) -> Call:
        """The reduction of one tensor, in place."""
        group = group_of("Allreduce", self.process_set)
        key = key_of("allreduce", self.name)
        if self.op is Adasum:
            return adasum_call(self.place, [tensor], key, group, lambda reduced: reduced[0])
        target, finish = in_place(tensor)
        terms = terms_of(self.place, self.op, self.prescale, self.postscale)
        return Call(self.place, Collective.ALLREDUCE, target, key, group, finish, terms)

    def grouped_call(self, tensors: list[torch.Tensor]) -> Call:
        """The reduction of several tensors, in place."""
        group = group_of("Allreduce", self.process_set)
        key = key_of("grouped_allreduce", self.name)
        if self.op is Adasum:
            return adasum_call(self.place, tensors, key, group, lambda reduced: reduced)
        targets, finishes = zip(*map(in_place, tensors), strict=True) if tensors else ((), ())
        terms = terms_of(self.place, self.op, self.prescale, self.postscale)

        def finish_all(_: Any) -> list[torch.Tensor]:
            return [finish(None) for finish in finishes]

        return Call(self.place, Collective.ALLREDUCE, list(targets), key, group, finish_all, terms)


class _Allreduce(torch.autograd.Function):
    """The gradient of a reduction is reduced alike."""

    @staticmethod
    def forward(ctx: Any, asked: _Asked, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.asked = asked
        return tuple(asked.perform_on([copy_of(tensor) for tensor in tensors]))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        # Its name may be in flight by now, and ranks go backward in one order.
        asked = replace(ctx.asked, name=None)
        return (None, *asked.perform(*gradients))
