"""What every rank has, by rank, on every rank: gathering of tensors by Horovod's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ringsync.collectives import Average, ReduceOp, Sum
from ringsync.kinds import Collective
from ringsync.torch.asking import key_of
from ringsync.torch.errors import HorovodInternalError
from ringsync.torch.grouping import grouped_allreduce
from ringsync.torch.handles import Call, begin, perform, synchronize
from ringsync.torch.process_sets import ProcessSet, global_process_set, group_of
from ringsync.torch.tensors import as_array, as_tensor, check_tensor, memory_of, through
from ringsync.words import in_line


def allgather(
    tensor: torch.Tensor,
    name: str | None = None,
    process_set: ProcessSet = global_process_set,
) -> torch.Tensor:
    """Concatenate the ranks' tensors along the first dimension, in order of rank.

    Args:
        tensor: At least one dimension; the first may differ between ranks, the others and the dtype
            may not. Any dtype that `allreduce` takes, and bool.
        name: Key under which ranks meet; None pairs calls by order.
        process_set: Whose ranks take part.

    Returns:
        A new tensor, equal on all ranks. Its gradient is averaged over the ranks, and each takes
        its rows.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
        HorovodInternalError: Ranks disagree, one passes a scalar or died, or time was up.

    Cost: n-1 times the tensor sent per rank.
    """
    call = _call("allgather", name, [tensor], process_set)
    gathered: torch.Tensor = through(_Allgather, call, process_set, tensor)[0]
    return gathered


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
    return begin(_call("allgather", name, [tensor], process_set))


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
        HorovodInternalError: Ranks disagree, one passes a scalar or died, or time was up.
    """
    call = _call("grouped_allgather", name, tensors, process_set)
    return list(through(_Allgather, call, process_set, *tensors))


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
    return begin(_call("grouped_allgather", name, tensors, process_set))


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
        HorovodInternalError: When it is waited for: ranks disagree, one died, or time was up.
    """
    if op not in {Average, Sum}:
        raise ValueError("Sparse tensors are reduced by Average or Sum only.")
    if tensor.layout is not torch.sparse_coo:
        raise ValueError(
            f"Tensor of layout {tensor.layout} is not supported; use to_sparse_coo() first, or "
            "allreduce_async() of dense ones."
        )
    own = tensor.detach().coalesce()
    parts = [own.indices().t(), own.values(), torch.tensor([own.size()])]
    handle = begin(_call("sparse_allreduce", name, parts, process_set))

    def finish() -> torch.Tensor:
        indices, values, sizes = synchronize(handle)
        _check_sizes(name, sizes.tolist(), process_set)
        if op == Average:
            values = (values / process_set.size()).to(values.dtype)
        # Parts that torch has made need no checks; where nothing is said of them, it warns.
        return torch.sparse_coo_tensor(indices.t(), values, tensor.size(), check_invariants=False)

    return finish


def _check_sizes(name: str | None, sizes: list[list[int]], process_set: ProcessSet) -> None:
    """Gathering compares indices and values, which do not tell the size that they are for."""
    for place, size in enumerate(sizes):
        if size != sizes[0]:
            ranks = process_set.ranks or range(len(sizes))
            raise HorovodInternalError(
                f"[sparse_allreduce] {in_line(name)}: rank {ranks[place]} sent shape "
                f"{tuple(size)}, rank {ranks[0]} {tuple(sizes[0])}. Build the same model on all "
                "ranks."
            )


def _call(
    place: str, name: str | None, tensors: Sequence[torch.Tensor], process_set: ProcessSet
) -> Call:
    """Of a list of tensors, which is gathered in one stroke, but where the place names one."""
    group = group_of("Allgather", process_set)
    arrays = [as_array(memory_of(check_tensor(tensor))) for tensor in tensors]
    is_one = place == "allgather"

    def finish(gathered: Any) -> Any:
        every = [gathered] if is_one else gathered
        results = [as_tensor(one, own) for one, own in zip(every, tensors, strict=True)]
        return results[0] if is_one else results

    return Call(
        place,
        Collective.ALLGATHER,
        arrays[0] if is_one else arrays,
        key_of(place, name),
        group,
        finish,
        is_scalar=any(tensor.dim() == 0 for tensor in tensors),
    )


class _Allgather(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, call: Call, process_set: ProcessSet, *tensors: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        gathered = perform(call)
        ctx.rows = [tensor.shape[0] for tensor in tensors]
        ctx.process_set = process_set
        return tuple(gathered) if isinstance(gathered, list) else (gathered,)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        wholes = grouped_allreduce(gradients, op=Average, process_set=ctx.process_set)
        every = allgather(torch.tensor([ctx.rows]), process_set=ctx.process_set)
        firsts = every[: ctx.process_set.rank()].sum(0).tolist()
        own = (
            whole.narrow(0, first, rows)
            for whole, first, rows in zip(wholes, firsts, ctx.rows, strict=True)
        )
        return (None, None, *own)
