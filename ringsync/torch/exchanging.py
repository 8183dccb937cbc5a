"""Rows of every rank for every other, by Horovod's names."""

from __future__ import annotations

from typing import Any

import torch

from ringsync import position
from ringsync.collectives.call import Terms
from ringsync.kinds import Collective
from ringsync.torch.asking import key_of
from ringsync.torch.handles import Call, begin_all, synchronize
from ringsync.torch.process_sets import ProcessSet, global_process_set, group_of
from ringsync.torch.tensors import as_array, as_tensor, check_tensor, through


def alltoall(
    tensor: torch.Tensor,
    splits: torch.Tensor | list[int] | None = None,
    name: str | None = None,
    process_set: ProcessSet = global_process_set,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Send every rank its rows, and return what all ranks have sent to this one, in order of rank.

    Args:
        tensor: At least one dimension; the first may differ between ranks, the others and the dtype
            may not.
        splits: Rows for each rank, whole numbers; None cuts evenly.
        name: Key under which ranks meet; None pairs calls by order.
        process_set: Whose ranks take part.

    Returns:
        A new tensor; with `splits` also how many rows came from each rank, as int32. Its gradient
        goes back the way it came.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
        HorovodInternalError: Ranks disagree, one died, or time was up.
    """
    if torch.is_grad_enabled() and check_tensor(tensor).requires_grad:
        output, received = through(_Alltoall, tensor, splits, name, process_set)
    else:
        output, received = synchronize(alltoall_async(tensor, splits, name, process_set))
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
    group = group_of("Alltoall", process_set)
    ranks = position.size() if group is None else group.size()
    rows = _checked_splits(check_tensor(tensor), splits, ranks)
    # What is left over goes to nobody, as in Horovod.
    used = tensor.detach().narrow(0, 0, sum(rows)).contiguous()
    terms = Terms(splits=tuple(rows))
    dtype = tensor.dtype
    key = key_of("alltoall", name)
    counts = torch.tensor(rows, dtype=torch.int32)
    return begin_all(
        [
            Call(
                "alltoall",
                Collective.ALLTOALL,
                as_array(used),
                key,
                group,
                lambda array: as_tensor(array, dtype),
                terms,
            ),
            Call(
                "alltoall",
                Collective.ALLTOALL,
                counts.numpy(),
                key and f"{key}.splits",
                group,
                torch.from_numpy,
                Terms(splits=(1,) * ranks),
            ),
        ]
    )


def _checked_splits(
    tensor: torch.Tensor, splits: torch.Tensor | list[int] | None, ranks: int
) -> list[int]:
    if tensor.dim() == 0:
        raise ValueError("alltoall expects a tensor of at least one dimension.")
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
        ctx: Any,
        tensor: torch.Tensor,
        splits: torch.Tensor | list[int] | None,
        name: str | None,
        process_set: ProcessSet,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        output, received = synchronize(alltoall_async(tensor, splits, name, process_set))
        ctx.received, ctx.process_set, ctx.rows = received, process_set, tensor.shape[0]
        ctx.mark_non_differentiable(received)
        return output, received

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor, _: torch.Tensor) -> tuple[Any, ...]:
        back = alltoall(gradient, ctx.received, process_set=ctx.process_set)[0]
        unused = ctx.rows - back.shape[0]
        if unused:
            back = torch.cat([back, back.new_zeros(unused, *back.shape[1:])])
        return back, None, None, None
