"""What every rank has, by rank, on every rank: gathering of tensors by Horovod's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ringsync.collectives import ReduceOp
from ringsync.kinds import Collective
from ringsync.torch.asking import Average, Sum, key_of
from ringsync.torch.grouping import grouped_allreduce
from ringsync.torch.handles import Call, begin, begin_all, perform, synchronize
from ringsync.torch.process_sets import ProcessSet, global_process_set, group_of
from ringsync.torch.reducing import allreduce
from ringsync.torch.tensors import as_array, as_tensor, check_tensor, through


def allgather(
    tensor: torch.Tensor,
    name: str | None = None,
    process_set: ProcessSet = global_process_set,
) -> torch.Tensor:
    """Concatenate the ranks' tensors along the first dimension, in order of rank.

    Args:
        tensor: At least one dimension; the first may differ between ranks, the others and the dtype
            may not.
        name: Key under which ranks meet; None pairs calls by order.
        process_set: Whose ranks take part.

    Returns:
        A new tensor, equal on all ranks. Its gradient is averaged over the ranks, and each takes
        its rows.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
        HorovodInternalError: Ranks disagree, one died, or time was up.
    """
    if torch.is_grad_enabled() and check_tensor(tensor).requires_grad:
        gathered: torch.Tensor = through(_Allgather, tensor, name, process_set)
        return gathered
    result: torch.Tensor = perform(_call("allgather", tensor, name, process_set))
    return result


def allgather_async(
    tensor: torch.Tensor,
    name: str | None = None,
    process_set: ProcessSet = global_process_set,
) -> int:
    """Start `allgather`.

    Args:
        tensor: As for `allgather`; not to be changed until it is synchronized.
        name: As for `allgather`.
        process_set: As for `allgather`.

    Returns:
        A handle, for `poll` and `synchronize`, which returns the new tensor.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
    """
    return begin(_call("allgather", tensor, name, process_set))


def grouped_allgather(
    tensors: Sequence[torch.Tensor],
    name: str | None = None,
    process_set: ProcessSet = global_process_set,
) -> list[torch.Tensor]:
    """Concatenate several tensors, each with its like on the other ranks.

    Args:
        tensors: As for `allgather`; equally many on all ranks.
        name: As for `allgather`; number i is named `name.i`.
        process_set: As for `allgather`.

    Returns:
        New tensors, in order.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
        HorovodInternalError: Ranks disagree, one died, or time was up.
    """
    if torch.is_grad_enabled() and any(check_tensor(tensor).requires_grad for tensor in tensors):
        return list(through(_GroupedAllgather, name, process_set, *tensors))
    gathered: list[torch.Tensor] = synchronize(grouped_allgather_async(tensors, name, process_set))
    return gathered


def grouped_allgather_async(
    tensors: Sequence[torch.Tensor],
    name: str | None = None,
    process_set: ProcessSet = global_process_set,
) -> int:
    """Start `grouped_allgather`.

    Args:
        tensors: As for `grouped_allgather`; not to be changed until they are synchronized.
        name: As for `grouped_allgather`.
        process_set: As for `allgather`.

    Returns:
        A handle, for `poll` and `synchronize`, which returns the list of new tensors.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
    """
    return begin_all(
        [
            _call("grouped_allgather", tensor, None if name is None else f"{name}.{i}", process_set)
            for i, tensor in enumerate(tensors)
        ]
    )


def sparse_allreduce_async(
    tensor: torch.Tensor,
    name: str | None,
    op: ReduceOp,
    process_set: ProcessSet = global_process_set,
) -> Callable[[], torch.Tensor]:
    """Start to reduce sparse tensors: indices and values of all ranks are gathered.

    Args:
        tensor: Sparse, in coordinates; its shape and dtype equal on all ranks.
        name: As for `allgather`.
        op: Average or Sum.
        process_set: As for `allgather`.

    Returns:
        Waits, and returns the sparse result, not coalesced.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
    """
    if op not in {Average, Sum}:
        raise ValueError("Sparse tensors are reduced by Average or Sum only.")
    coalesced = tensor.detach().coalesce()
    prefix = None if name is None else f"sparse.{name}"
    indices = allgather_async(coalesced.indices().t(), prefix and f"{prefix}.indices", process_set)
    values = allgather_async(coalesced.values(), prefix and f"{prefix}.values", process_set)

    def finish() -> torch.Tensor:
        where, what = synchronize(indices), synchronize(values)
        if op is Average:
            what = what / process_set.size()
        return torch.sparse_coo_tensor(where.t(), what, tensor.size())

    return finish


def own_rows(first: int, process_set: ProcessSet) -> tuple[int, int]:
    """Find out which rows of what is gathered are this rank's.

    Args:
        first: This rank's first dimension.
        process_set: Whose ranks take part.

    Returns:
        The first row, and how many.
    """
    rows = allgather(torch.tensor([first]), process_set=process_set)
    rank = process_set.rank()
    return int(rows[:rank].sum()), first


def _call(place: str, tensor: torch.Tensor, name: str | None, process_set: ProcessSet) -> Call:
    group = group_of("Allgather", process_set)
    dtype = check_tensor(tensor).dtype
    return Call(
        place,
        Collective.ALLGATHER,
        as_array(tensor.contiguous()),
        key_of(place, name),
        group,
        lambda array: as_tensor(array, dtype),
    )


class _Allgather(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, tensor: torch.Tensor, name: str | None, process_set: ProcessSet
    ) -> torch.Tensor:
        ctx.rows = tensor.shape[0] if tensor.dim() else 0
        ctx.process_set = process_set
        gathered: torch.Tensor = perform(_call("allgather", tensor, name, process_set))
        return gathered

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        whole = allreduce(gradient, op=Average, process_set=ctx.process_set)
        return whole.narrow(0, *own_rows(ctx.rows, ctx.process_set)), None, None


class _GroupedAllgather(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, name: str | None, process_set: ProcessSet, *tensors: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        ctx.rows = [tensor.shape[0] if tensor.dim() else 0 for tensor in tensors]
        ctx.process_set = process_set
        return tuple(synchronize(grouped_allgather_async(tensors, name, process_set)))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        wholes = grouped_allreduce(gradients, op=Average, process_set=ctx.process_set)
        parts = [
            whole.narrow(0, *own_rows(rows, ctx.process_set))
            for whole, rows in zip(wholes, ctx.rows, strict=True)
        ]
        return (None, None, *parts)
