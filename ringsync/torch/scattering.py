"""Reductions of which each rank gets its rows, by Horovod's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ringsync.collectives import Average, ReduceOp, Sum
from ringsync.kinds import Collective
from ringsync.torch.asking import checked_reduce_op, key_of
from ringsync.torch.compression import Compression, Compressor
from ringsync.torch.errors import HorovodInternalError
from ringsync.torch.gathering import grouped_allgather
from ringsync.torch.handles import Call, begin, perform
from ringsync.torch.process_sets import ProcessSet, global_process_set, group_of
from ringsync.torch.reduction import Reduction, compressed, divided
from ringsync.torch.tensors import as_array, as_tensor, check_tensor, memory_of


def reducescatter(
    tensor: torch.Tensor,
    name: str | None = None,
    compression: type[Compressor] = Compression.none,
    op: ReduceOp = Average,
    process_set: ProcessSet = global_process_set,
    prescale_factor: float = 1.0,
    postscale_factor: float = 1.0,
) -> torch.Tensor:
    """Reduce a tensor over all ranks, and return this rank's rows of the result.

    The first dimension is cut into nearly equal parts; the first ranks get the longer ones.

    Args:
        tensor: At least one dimension; any dtype that `allreduce` takes but bool. Shape and dtype
            equal on all ranks.
        name: Key under which ranks meet; None pairs calls by order.
        compression: Form in which it travels.
        op: Average or Sum.
        process_set: Whose ranks reduce.
        prescale_factor: What values are multiplied by before.
        postscale_factor: What the result is multiplied by.

    Returns:
        A new tensor. Its gradient is gathered.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
        HorovodInternalError: Ranks disagree, one died, or time was up; or another op was asked for.

    Cost: (n-1)/n of the tensor sent per rank.
    """
    asked = Reduction("reducescatter", name, op, prescale_factor, postscale_factor, process_set)
    return compressed(_Reducescatter, asked, [tensor], compression)[0]


def reducescatter_async(
    tensor: torch.Tensor,
    name: str | None = None,
    op: ReduceOp = Average,
    process_set: ProcessSet = global_process_set,
    prescale_factor: float = 1.0,
    postscale_factor: float = 1.0,
) -> int:
    """Start `reducescatter`.

    Args:
        tensor: As for `reducescatter`; not to be changed until it is synchronized.
        name: As for `reducescatter`.
        op: As for `reducescatter`.
        process_set: As for `reducescatter`.
        prescale_factor: As for `reducescatter`.
        postscale_factor: As for `reducescatter`.

    Returns:
        A handle, for `poll` and `synchronize`, which returns the new tensor.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
        HorovodInternalError: Another op was asked for.
    """
    asked = Reduction("reducescatter", name, op, prescale_factor, postscale_factor, process_set)
    return begin(_call(asked, [tensor]))


def grouped_reducescatter(
    tensors: Sequence[torch.Tensor],
    name: str | None = None,
    compression: type[Compressor] = Compression.none,
    op: ReduceOp = Average,
    process_set: ProcessSet = global_process_set,
    prescale_factor: float = 1.0,
    postscale_factor: float = 1.0,
) -> list[torch.Tensor]:
    """Reduce several tensors, and return this rank's rows of each.

    Args:
        tensors: As for `reducescatter`; equally many on all ranks.
        name: As for `reducescatter`; number i is named `name.i`.
        compression: As for `reducescatter`.
        op: As for `reducescatter`.
        process_set: As for `reducescatter`.
        prescale_factor: As for `reducescatter`.
        postscale_factor: As for `reducescatter`.

    Returns:
        New tensors, in order.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
        HorovodInternalError: Ranks disagree, one died, or time was up; or another op was asked for.
    """
    asked = Reduction(
        "grouped_reducescatter", name, op, prescale_factor, postscale_factor, process_set
    )
    return compressed(_Reducescatter, asked, tensors, compression)


def grouped_reducescatter_async(
    tensors: Sequence[torch.Tensor],
    name: str | None = None,
    op: ReduceOp = Average,
    process_set: ProcessSet = global_process_set,
    prescale_factor: float = 1.0,
    postscale_factor: float = 1.0,
) -> int:
    """Start `grouped_reducescatter`.

    Args:
        tensors: As for `grouped_reducescatter`; not to be changed until they are synchronized.
        name: As for `grouped_reducescatter`.
        op: As for `reducescatter`.
        process_set: As for `reducescatter`.
        prescale_factor: As for `reducescatter`.
        postscale_factor: As for `reducescatter`.

    Returns:
        A handle, for `poll` and `synchronize`, which returns the list of new tensors.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
        HorovodInternalError: Another op was asked for.
    """
    asked = Reduction(
        "grouped_reducescatter", name, op, prescale_factor, postscale_factor, process_set
    )
    return begin(_call(asked, tensors))


def _call(asked: Reduction, tensors: Sequence[torch.Tensor]) -> Call:
    """Of a list of tensors in one stroke, if it is grouped."""
    group = group_of("Reducescatter", asked.process_set)
    if checked_reduce_op(asked.place, asked.op) not in {Average, Sum}:
        raise HorovodInternalError("Reducescatter currently only supports AVERAGE and SUM.")
    if any(check_tensor(tensor).dim() == 0 for tensor in tensors):
        raise ValueError("Reducescatter does not support scalar inputs")
    terms, divisor = asked.terms(tensors, group)
    values = [memory_of(tensor, asked.prescale) for tensor in tensors]
    arrays = [as_array(one) for one in values]

    def finish(scattered: Any) -> Any:
        every = scattered if asked.is_grouped else [scattered]
        results = [
            divided(as_tensor(one, own), divisor) for one, own in zip(every, values, strict=True)
        ]
        return results if asked.is_grouped else results[0]

    array = arrays if asked.is_grouped else arrays[0]
    key = key_of(asked.place, asked.name)
    return Call(asked.place, Collective.REDUCE_SCATTER, array, key, group, finish, terms)


class _Reducescatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, asked: Reduction, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.asked = asked
        scattered = perform(_call(asked, tensors))
        return tuple(scattered) if asked.is_grouped else (scattered,)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        asked = ctx.asked
        factor = asked.prescale * asked.postscale
        if asked.op == Sum:
            factor *= asked.process_set.size()
        scaled = [one if factor == 1 else one * factor for one in gradients]
        return (None, *grouped_allgather(scaled, process_set=asked.process_set))
