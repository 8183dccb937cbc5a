"""Rows of every rank for every other, by Horovod's names."""

from __future__ import annotations

from typing import Any

import torch

from ringsync.collectives.call import Terms
from ringsync.group import ranks_of
from ringsync.kinds import Collective
from ringsync.torch.asking import key_of
from ringsync.torch.handles import Call, begin, perform
from ringsync.torch.process_sets import ProcessSet, global_process_set, group_of
from ringsync.torch.tensors import as_array, as_tensor, check_tensor, memory_of, through


def alltoall(
    tensor: torch.Tensor,
    splits: torch.Tensor | list[int] | None = None,
    name: str | None = None,
    process_set: ProcessSet = global_process_set,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Send every rank its rows, and return what all ranks have sent to this one, in order of rank.

    Args:
        tensor: At least one dimension; the first may differ between ranks, the others and the dtype
            may not. Any dtype that `allreduce` takes, and bool.
        splits: Rows for each rank, whole numbers; None cuts evenly.
        name: Key under which ranks meet; None pairs calls by order.
        process_set: Whose ranks take part.

    Returns:
        A new tensor; with `splits` also how many rows came from each rank, as int32, where `splits`
        lies. Its gradient goes back the way it came.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
        HorovodInternalError: Ranks disagree, one passes a scalar or died, or time was up.

    Cost: What is meant for other ranks is sent, in one step.
    """
    call = _call(tensor, splits, name, process_set)
    output, received = through(_Alltoall, call, process_set, tensor)
    return output if splits is None else (output, received)


def alltoall_async(
    tensor: torch.Tensor,
    splits: torch.Tensor | list[int] | None = None,
    name: str | None = None,
    process_set: ProcessSet = global_process_set,
) -> int:
    """Start `alltoall`.

    Args:
        tensor: As for `alltoall`; not to be changed until it is synchronized.
        splits: As for `alltoall`.
        name: As for `alltoall`.
        process_set: As for `alltoall`.

    Returns:
        A handle, for `poll` and `synchronize`, which returns the new tensor and the rows from each
        rank, with or without `splits`.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
    """
    return begin(_call(tensor, splits, name, process_set))


def _call(
    tensor: torch.Tensor,
    splits: torch.Tensor | list[int] | None,
    name: str | None,
    process_set: ProcessSet,
) -> Call:
    """Makes the rows, and how many came from each rank."""
    group = group_of("Alltoall", process_set)
    ranks = len(ranks_of("alltoall", group))
    is_scalar = check_tensor(tensor).dim() == 0
    # All ranks are told of a scalar by the collective, whatever its splits are.
    rows = [0] * ranks if is_scalar else _checked_splits(tensor, splits, ranks)
    # What is left over goes to nobody, as in Horovod.
    sent = tensor if is_scalar else tensor.narrow(0, 0, sum(rows))

    def finish(result: tuple[Any, list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        array, received = result
        place = splits.device if isinstance(splits, torch.Tensor) else None
        rows_from = torch.tensor(received, dtype=torch.int32, device=place)
        return as_tensor(array, tensor), rows_from

    return Call(
        "alltoall",
        Collective.ALLTOALL,
        as_array(memory_of(sent)),
        key_of("alltoall", name),
        group,
        finish,
        Terms(splits=tuple(rows)),
        is_scalar,
        has_rows=True,
    )


def _checked_splits(
    tensor: torch.Tensor, splits: torch.Tensor | list[int] | None, ranks: int
) -> list[int]:
    if splits is None:
        if tensor.shape[0] % ranks:
            raise ValueError(
                "splits not provided, but first dimension of tensor is not an even multiple of the "
                "number of workers."
            )
        return [tensor.shape[0] // ranks] * ranks
    if not isinstance(splits, torch.Tensor):
        splits = torch.tensor(splits, dtype=torch.int32)
    if splits.dim() != 1:
        raise ValueError("alltoall expects a 1D splits tensor")
    if splits.dtype is not torch.int32:
        raise ValueError("alltoall expects splits to contain 32-bit integer elements.")
    rows: list[int] = splits.tolist()
    if len(rows) != ranks:
        raise ValueError("Number of entries in splits does not equal number of workers.")
    if min(rows) < 0:
        raise ValueError(f"alltoall expects splits from 0; {rows} were given.")
    if sum(rows) > tensor.shape[0]:
        raise ValueError("Sum of splits entries is greater than the first dimension of tensor.")
    return rows


class _Alltoall(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, call: Call, process_set: ProcessSet, tensor: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        output, received = perform(call)
        ctx.received, ctx.process_set, ctx.rows = received, process_set, tensor.shape[0]
        ctx.mark_non_differentiable(received)
        return output, received

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor, _: torch.Tensor) -> tuple[Any, ...]:
        back = alltoall(gradient, ctx.received, process_set=ctx.process_set)[0]
        unused = ctx.rows - back.shape[0]
        if unused:
            back = torch.cat([back, back.new_zeros(unused, *back.shape[1:])])
        return None, None, back
