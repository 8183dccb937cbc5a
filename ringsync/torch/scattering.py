"""Reductions of which each rank gets its rows, by Horovod's names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ringsync import position
from ringsync.collectives import ReduceOp
from ringsync.kinds import Collective
from ringsync.torch.asking import Average, Sum, key_of, scale_before, terms_of
from ringsync.torch.compression import Compression, Compressor
from ringsync.torch.errors import HorovodInternalError
from ringsync.torch.gathering import allgather
from ringsync.torch.handles import Call, begin, begin_all, perform, synchronize
from ringsync.torch.process_sets import ProcessSet, global_process_set, group_of
from ringsync.torch.tensors import as_array, as_tensor, check_tensor, copy_of, through


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
        tensor: At least one dimension; shape and dtype equal on all ranks.
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

    Cost: (n-1)/n of the tensor sent per rank; twice as much where the rows are no multiple of the
        number of ranks.
    """
    small, context = compression.compress(check_tensor(tensor))
    asked = _Asked("reducescatter", op, prescale_factor, postscale_factor, process_set)
    if torch.is_grad_enabled() and small.requires_grad:
        (own,) = through(_Reducescatter, asked, [name], small)
    else:
        own = perform(asked.call(small, name))
    return compression.decompress(own, context)


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
    asked = _Asked("reducescatter", op, prescale_factor, postscale_factor, process_set)
    return begin(asked.call(check_tensor(tensor), name))


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
    small, contexts = (
        zip(*map(compression.compress, map(check_tensor, tensors)), strict=True)
        if tensors
        else ((), ())
    )
    asked = _Asked("grouped_reducescatter", op, prescale_factor, postscale_factor, process_set)
    names = _names(name, len(small))
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in small):
        own = through(_Reducescatter, asked, names, *small)
    else:
        own = synchronize(begin_all([*map(asked.call, small, names)]))
    return [compression.decompress(t, c) for t, c in zip(own, contexts, strict=True)]


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
    asked = _Asked("grouped_reducescatter", op, prescale_factor, postscale_factor, process_set)
    return begin_all([*map(asked.call, map(check_tensor, tensors), _names(name, len(tensors)))])


def _names(name: str | None, count: int) -> list[str | None]:
    return [None if name is None else f"{name}.{i}" for i in range(count)]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a reduction is asked for, but for its tensors and their names."""

    place: str
    op: ReduceOp
    prescale: float
    postscale: float
    process_set: ProcessSet

    def call(self, tensor: torch.Tensor, name: str | None) -> Call:
        """The reduction of one tensor."""
        group = group_of("Reducescatter", self.process_set)
        if self.op not in {Average, Sum}:
            raise HorovodInternalError("Reducescatter currently only supports AVERAGE and SUM.")
        if tensor.dim() == 0:
            raise ValueError("Reducescatter does not support scalar inputs")
        terms = terms_of(self.place, self.op, self.prescale, self.postscale)
        if self.prescale != 1:
            tensor = copy_of(tensor)
            scale_before(tensor, self.prescale)
        key = key_of("reducescatter", name)
        dtype, rows = tensor.dtype, tensor.shape[0]
        ranks = position.size() if group is None else group.size()
        if rows % ranks == 0:
            array = as_array(tensor.contiguous())
            return Call(
                self.place,
                Collective.REDUCE_SCATTER,
                array,
                key,
                group,
                lambda own: as_tensor(own, dtype),
                terms,
            )
        # ringsync cuts such rows elsewhere than Horovod, so all of them are reduced.
        rank = position.rank() if group is None else group.rank()
        first = rank * (rows // ranks) + min(rank, rows % ranks)
        count = rows // ranks + (rank < rows % ranks)
        whole = copy_of(tensor)
        return Call(
            self.place,
            Collective.ALLREDUCE,
            as_array(whole),
            key,
            group,
            lambda _: whole.narrow(0, first, count).clone(),
            terms,
        )


class _Reducescatter(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, asked: _Asked, names: list[str | None], *tensors: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        ctx.asked = asked
        return tuple(synchronize(begin_all([*map(asked.call, tensors, names)])))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        asked = ctx.asked
        factor = asked.prescale * asked.postscale
        if asked.op is Sum:
            factor *= asked.process_set.size()
        parts = [
            allgather(gradient * factor if factor != 1 else gradient, process_set=asked.process_set)
            for gradient in gradients
        ]
        return (None, None, *parts)
