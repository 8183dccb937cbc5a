"""Adasum: a sum of gradients in which what they have in common counts once.

Every rank gathers all tensors and adds them up alike, pair by pair.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import torch

from ringsync.collectives import ReduceOp
from ringsync.collectives.call import Terms
from ringsync.group import ProcessGroup, ranks_of
from ringsync.kinds import Collective
from ringsync.torch.handles import Call
from ringsync.torch.tensors import as_array, as_tensor

# Of any array.
_MOST_DIMENSIONS = 8
# Of shorter vectors the square of the length cannot be divided by.
_LEAST_SQUARE = math.sqrt(sys.float_info.min)


def check_power_of_2(ranks: int) -> None:
    """Check how many ranks are to take part.

    Args:
        ranks: Their number.

    Raises:
        NotImplementedError: It is no power of 2.
    """
    if ranks & (ranks - 1):
        raise NotImplementedError("Running Adasum with non-power of 2 ranks is not supported yet.")


def adasum_call(
    place: str,
    tensors: list[torch.Tensor],
    key: str | None,
    group: ProcessGroup | None,
    factors: tuple[float, float],
    finish: Callable[[list[torch.Tensor]], Any],
) -> Call:
    """Ask for the Adasum of tensors, each for itself, in place and in one stroke.

    Args:
        place: The public function's name, for messages.
        tensors: Of floats, contiguous and without gradients; equal shapes and dtypes on all ranks.
            Overwritten.
        key: Key under which ranks meet, or None.
        group: Whose ranks take part; None: all.
        factors: What `tensors` have been multiplied by, and what the result is to be.
        finish: Makes the caller's result of `tensors`.

    Returns:
        The call.

    Raises:
        ValueError: A tensor is not of floats.
        NotImplementedError: The number of ranks is no power of 2.

    Cost: (n-1) * the tensors' bytes sent per rank, and n-1 passes over them on each.
    Source: Maleki et al., "Scaling Distributed Training with Adaptive Summation", MLSys 2021.
    """
    check_power_of_2(len(ranks_of(place, group)))
    wrong = [tensor.dtype for tensor in tensors if not tensor.is_floating_point()]
    if wrong:
        raise ValueError(f"Adasum adds up tensors of floats; one of {wrong[0]} was given.")
    prescale, postscale = factors
    # To be compared only: nothing of an allgather is scaled.
    terms = Terms(op=int(ReduceOp.Adasum), scaled_by=prescale, postscale=postscale)

    is_one = place == "allreduce"

    def add_up(gathered: Any) -> Any:
        every = [gathered] if is_one else gathered
        for tensor, array in zip(tensors, every, strict=True):
            rows = as_tensor(array, tensor)
            parts = rows.reshape(len(rows), tensor.numel())
            tensor.copy_(adasum([*parts]).mul_(postscale).reshape(tensor.shape))
        return finish(tensors)

    arrays = [as_array(_as_row(tensor)) for tensor in tensors]
    array = arrays[0] if is_one else arrays
    return Call(place, Collective.ALLGATHER, array, key, group, add_up, terms)


def _as_row(tensor: torch.Tensor) -> torch.Tensor:
    """Of one row, so that ranks compare the shape."""
    return (tensor.flatten(-2) if tensor.dim() == _MOST_DIMENSIONS else tensor)[None]


def adasum(vectors: list[torch.Tensor]) -> torch.Tensor:
    """Add up vectors: parallel ones as their mean, orthogonal ones as their sum.

    Args:
        vectors: As many as a power of 2, of one shape.

    Returns:
        The result, in float64.
    """
    summed = [vector.to(torch.float64) for vector in vectors]
    while len(summed) > 1:
        summed = [_of_two(a, b) for a, b in zip(summed[::2], summed[1::2], strict=True)]
    return summed[0]


def _of_two(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    dot = float(a @ b)
    squares = float(a @ a), float(b @ b)
    shares = [1 - dot / (2 * s) if s >= _LEAST_SQUARE else 1.0 for s in squares]
    return shares[0] * a + shares[1] * b
