"""One rank's tensor on every rank, by Horovod's names."""

from __future__ import annotations

from typing import Any

import torch

from ringsync import position
from ringsync.collectives import Average
from ringsync.collectives.call import rooted
from ringsync.kinds import Collective
from ringsync.torch.asking import key_of
from ringsync.torch.devices import keep_for_stream
from ringsync.torch.handles import Call, begin, perform
from ringsync.torch.process_sets import ProcessSet, global_process_set, group_of
from ringsync.torch.reducing import allreduce
from ringsync.torch.tensors import as_array, check_tensor, memory_of, through, written


def broadcast(
    tensor: torch.Tensor,
    root_rank: int,
    name: str | None = None,
    process_set: ProcessSet = global_process_set,
) -> torch.Tensor:
    """Give every rank the values of one rank's tensor.

    Args:
        tensor: Any shape and strides; any dtype that `allreduce` takes, and bool. Shape and dtype
            equal on all ranks.
        root_rank: Whose values all get, by its number in the world, in a process set as well.
        name: Key under which ranks meet; None pairs calls by order.
        process_set: Whose ranks take part.

    Returns:
        A new tensor. Its gradient is averaged on the root, and zero elsewhere.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
        HorovodInternalError: Ranks disagree, one died, or time was up.

    Cost: n-1 times the tensor sent by the root, or log2(n) times where ranks pass it on.
    """
    given: torch.Tensor = through(_Broadcast, tensor, root_rank, name, process_set)
    return given


def broadcast_async(
    tensor: torch.Tensor,
    root_rank: int,
    name: str | None = None,
    process_set: ProcessSet = global_process_set,
) -> int:
    """Start `broadcast`.

    Args:
        tensor: As for `broadcast`; copied before this returns.
        root_rank: As for `broadcast`.
        name: As for `broadcast`.
        process_set: As for `broadcast`.

    Returns:
        A handle, for `poll` and `synchronize`, which returns the new tensor.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
    """
    return begin(_call(tensor, root_rank, name, process_set))


def broadcast_(
    tensor: torch.Tensor,
    root_rank: int,
    name: str | None = None,
    process_set: ProcessSet = global_process_set,
) -> torch.Tensor:
    """Overwrite every rank's tensor with one rank's values.

    Args:
        tensor: As for `broadcast`; overwritten.
        root_rank: As for `broadcast`.
        name: As for `broadcast`.
        process_set: As for `broadcast`.

    Returns:
        `tensor`.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
        HorovodInternalError: Ranks disagree, one died, or time was up.
    """
    call = _call(tensor, root_rank, name, process_set, is_in_place=True)
    result: torch.Tensor = perform(call)
    return result


def broadcast_async_(
    tensor: torch.Tensor,
    root_rank: int,
    name: str | None = None,
    process_set: ProcessSet = global_process_set,
) -> int:
    """Start `broadcast_`.

    Args:
        tensor: As for `broadcast_`; not to be touched until it is synchronized.
        root_rank: As for `broadcast`.
        name: As for `broadcast`.
        process_set: As for `broadcast`.

    Returns:
        A handle, for `poll` and `synchronize`, which returns `tensor`.

    Raises:
        ValueError: An argument cannot be used, or a call of this name is in flight.
    """
    return begin(_call(tensor, root_rank, name, process_set, is_in_place=True))


def _call(
    tensor: torch.Tensor,
    root: int,
    name: str | None,
    process_set: ProcessSet,
    *,
    is_in_place: bool = False,
) -> Call:
    group = group_of("Broadcast", process_set)
    terms = rooted("broadcast", root, group)
    values = memory_of(check_tensor(tensor), is_copy=not is_in_place)

    def finish(_: object) -> torch.Tensor:
        given = keep_for_stream(values)
        return written(tensor, given) if is_in_place else given

    return Call(
        "broadcast",
        Collective.BROADCAST,
        as_array(values),
        key_of("broadcast", name),
        group,
        finish,
        terms,
    )


class _Broadcast(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, tensor: torch.Tensor, root: int, name: str | None, process_set: ProcessSet
    ) -> torch.Tensor:
        ctx.root, ctx.process_set = root, process_set
        given: torch.Tensor = perform(_call(tensor, root, name, process_set))
        return given

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        mean = allreduce(gradient, op=Average, process_set=ctx.process_set)
        is_root = position.rank() == ctx.root
        return (mean if is_root else torch.zeros_like(mean)), None, None, None
