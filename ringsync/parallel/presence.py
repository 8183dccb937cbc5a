"""What ranks tell each other of their gradients beside the values: whether there are any.

A number for each, which travels on the host, whatever memory the gradient is in: to wait for it is
to wait for the other ranks, and for no device.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from ringsync.parallel.arena import Bucket
from ringsync.parallel.source import GradientSource

# What is added to them changes nothing, so that one rank's word reaches all.
_CONVERTED = math.inf
_ELSEWHERE = math.nan


@dataclass(slots=True)
class Told:
    """What any rank has told of its gradients, by index in ascending order.

    Attributes:
        absent: No rank has one here.
        elsewhere: Those of them that travel elsewhere on any rank.
        converted: Had another form on any rank.
    """

    absent: list[int] = field(default_factory=list)
    elsewhere: list[int] = field(default_factory=list)
    converted: list[int] = field(default_factory=list)


def number_of(source: GradientSource, index: int, is_there: bool) -> float:
    """Put a gradient's state into a number that can be summed, or averaged.

    Args:
        source: Whose gradient it is.
        index: Which.
        is_there: This rank has one to exchange.

    Returns:
        0 for none, 1 for one, infinity for one that had another form, NaN for one elsewhere.
    """
    if is_there:
        return _CONVERTED if source.is_converted(index) else 1
    return _ELSEWHERE if source.is_elsewhere(index) else 0


def read_presence(buckets: Iterable[Bucket]) -> Told:
    """Learn what ranks have told.

    Args:
        buckets: After their exchange.

    Returns:
        It, alike on all ranks.
    """
    told = Told()
    for bucket in buckets:
        # Of a few numbers a list takes less time than one operation on arrays.
        for index, number in zip(bucket.members, bucket.presence.tolist(), strict=True):
            if 0 < number < _CONVERTED:
                continue
            if number == _CONVERTED:
                told.converted.append(index)
                continue
            told.absent.append(index)
            if math.isnan(number):
                told.elsewhere.append(index)
    for indices in (told.absent, told.elsewhere, told.converted):
        indices.sort()
    return told
