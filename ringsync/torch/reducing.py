"""Reductions of tensors over all ranks, by Horovod's names."""

from __future__ import annotations

import torch

from ringsync.collectives import ReduceOp
from ringsync.torch.asking import checked_op
from ringsync.torch.compression import Compression, Compressor
from ringsync.torch.handles import begin, perform
from ringsync.torch.process_sets import ProcessSet, global_process_set
from ringsync.torch.reduction import Allreduce, Reduction, allreduce_call, compressed


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
        tensor: Any shape and strides; float16, bfloat16, float32, float64, uint8, int8, int16,
            int32, int64, or bool by Min and Max. Shape and dtype equal on all ranks.
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
        NotImplementedError: Adasum, and the number of ranks is no power of 2.
        HorovodInternalError: Ranks disagree, one died, or time was up.

    Cost: 2(n-1)/n of the tensor sent per rank, n-1 times the tensor up to 64 KiB or by Adasum; and
        a copy of it.
    """
    op = checked_op("allreduce", op, average)
    asked = Reduction("allreduce", name, op, prescale_factor, postscale_factor, process_set)
    return compressed(Allreduce, asked, [tensor], compression)[0]


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
        NotImplementedError: Adasum, and the number of ranks is no power of 2.
    """
    op = checked_op("allreduce", op, average)
    asked = Reduction("allreduce", name, op, prescale_factor, postscale_factor, process_set)
    return begin(allreduce_call(asked, [tensor]))


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
        NotImplementedError: Adasum, and the number of ranks is no power of 2.
        HorovodInternalError: Ranks disagree, one died, or time was up.
    """
    op = checked_op("allreduce", op, average)
    asked = Reduction("allreduce", name, op, prescale_factor, postscale_factor, process_set)
    result: torch.Tensor = perform(allreduce_call(asked, [tensor], is_in_place=True))
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
        NotImplementedError: Adasum, and the number of ranks is no power of 2.
    """
    op = checked_op("allreduce", op, average)
    asked = Reduction("allreduce", name, op, prescale_factor, postscale_factor, process_set)
    return begin(allreduce_call(asked, [tensor], is_in_place=True))
