"""Reductions of several tensors in one stroke, by Horovod's names."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ringsync.collectives import ReduceOp
from ringsync.torch.asking import checked_op
from ringsync.torch.compression import Compression, Compressor
from ringsync.torch.handles import begin, perform
from ringsync.torch.process_sets import ProcessSet, global_process_set
from ringsync.torch.reduction import Allreduce, Reduction, allreduce_call, compressed


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
        NotImplementedError: Adasum, and the number of ranks is no power of 2.
        HorovodInternalError: Ranks disagree, one died, or time was up.
    """
    op = checked_op("grouped_allreduce", op, average)
    asked = Reduction("grouped_allreduce", name, op, prescale_factor, postscale_factor, process_set)
    return compressed(Allreduce, asked, tensors, compression)


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
        NotImplementedError: Adasum, and the number of ranks is no power of 2.
    """
    op = checked_op("grouped_allreduce", op, average)
    asked = Reduction("grouped_allreduce", name, op, prescale_factor, postscale_factor, process_set)
    return begin(allreduce_call(asked, tensors))


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
        NotImplementedError: Adasum, and the number of ranks is no power of 2.
        HorovodInternalError: Ranks disagree, one died, or time was up.
    """
    op = checked_op("grouped_allreduce", op, average)
    asked = Reduction("grouped_allreduce", name, op, prescale_factor, postscale_factor, process_set)
    result: list[torch.Tensor] = perform(allreduce_call(asked, tensors, is_in_place=True))
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
        NotImplementedError: Adasum, and the number of ranks is no power of 2.
    """
    op = checked_op("grouped_allreduce", op, average)
    asked = Reduction("grouped_allreduce", name, op, prescale_factor, postscale_factor, process_set)
    return begin(allreduce_call(asked, tensors, is_in_place=True))
