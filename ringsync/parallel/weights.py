"""How much the gradients of each rank weigh: told by all to all, and judged by all alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from numbers import Real

import numpy as np

from ringsync.arrays import Array
from ringsync.collectives import ReduceOp, allreduce_
from ringsync.errors import ConfigError, MismatchError
from ringsync.group import ProcessGroup, ranks_of
from ringsync.runtime import current


class _Fault(IntEnum):
    """Why a rank has no weight to tell."""

    NONE = 0
    NOT_GIVEN = 1
    NO_NUMBER = 2


_WORDS = {_Fault.NOT_GIVEN: "no weight", _Fault.NO_NUMBER: "something that is no number"}


def exchange_share(
    weight: object, name: str, group: ProcessGroup | None, refused_passes: int = 0
) -> float:
    """Tell all ranks this one's weight, and return its share of the sum.

    What a rank gives is judged when all know it, so that all raise what one has done wrong.

    Args:
        weight: As the caller of `step` gave it on this rank.
        name: Key under which ranks meet. Those that have joined weigh nothing.
        group: Whose ranks have weights; None: all.
        refused_passes: Backward passes of this step that were too many.

    Returns:
        From 0 to 1; 1 in all.

    Raises:
        ConfigError: A rank's weight cannot be used, or all are 0; on every rank alike.
        MismatchError: Ranks have had unlike numbers of passes refused, so one may weigh a batch
            that the others are done with.
        PeerLostError: A rank died.
        TimedOutError: A rank did not take part in time.

    Cost: 24 bytes per rank and rank, in one message.
    """
    ranks = ranks_of("step", group)
    place = ranks.index(current().world.rank)
    told = np.zeros((3, len(ranks)))
    told[:, place] = *_coded(weight), refused_passes
    if len(ranks) > 1:
        allreduce_(told, op=ReduceOp.Sum, name=name, group=group)
    weights, faults, refused = told
    _check_equal_passes(refused, ranks)
    return float(weights[place] / _checked_sum(weights, faults, ranks))


def _coded(weight: object) -> tuple[float, _Fault]:
    if weight is None:
        return 0.0, _Fault.NOT_GIVEN
    if isinstance(weight, np.ndarray) and weight.ndim == 0:
        weight = weight[()]
    if not isinstance(weight, Real) or isinstance(weight, bool):
        return 0.0, _Fault.NO_NUMBER
    try:
        return float(weight), _Fault.NONE
    except OverflowError:  # an int beyond every float
        return math.inf, _Fault.NONE


def _check_equal_passes(refused: Array, ranks: Sequence[int]) -> None:
    for rank, count in zip(ranks, refused, strict=True):
        if count != refused[0]:
            raise MismatchError(
                f"[step] rank {rank} had {count:.0f} backward passes refused before this step, "
                f"rank {ranks[0]} {refused[0]:.0f}: one may hold the gradients of another batch. "
                "Call zero_grad() on all ranks and compute this step anew."
            )


def _checked_sum(weights: Array, faults: Array, ranks: Sequence[int]) -> float:
    wrong = [
        f"rank {rank} gave {_WORDS[_Fault(int(fault))] if fault else f'weight={weight}'}"
        for rank, weight, fault in zip(ranks, weights, faults, strict=True)
        if fault or not 0 <= weight < math.inf
    ]
    advice = "Pass step(weight=len(x)), how many samples this rank's gradients are the mean of."
    if wrong:
        raise ConfigError(
            f"[step] {', '.join(wrong)}; a finite number from 0 is expected on every rank. {advice}"
        )
    total: float = sum(weights.tolist())
    if not 0 < total < math.inf:
        raise ConfigError(
            f"[step] the weights of all ranks add up to {total}; a finite number above 0 is "
            f"expected. {advice}"
        )
    return total
