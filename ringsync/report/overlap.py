r"""Measures how much communication hid behind computing, per rank and step.

All figures are lengths of interval unions, never sums of events, so nested and parallel events
count once. For each rank, with the events of its file:

- **step**: from the end of the step before (for the first: from the rank's first event on the
  train lane) to the end of an event `step` on the train lane; what comes after the last is left
  out. T is its length.
- **C, compute**: the union of `forward`, `backward` and `step` on the train lane, less the union
  of `wait` there: who waits does not compute.
- **M, communication**: the union of `run` on the engine lane and of all on the device lane.
- **W, waiting for peers**: the union of `agree` on the engine lane: ready here, not everywhere.
- **overlap** = |C n M| / |M|; undefined in a step without communication.
- **exposed communication** = |M \ C|: what the step would be shorter by, were it hidden.
- **waiting** = |W \ C|, told apart because waiting for a slow peer is not communicating.
- **idle** = T - |C u M u W|.

C, M and W are cut at the ends of the step. W and M may cover the same moment (one bucket is agreed
on while another runs), so exposed and waiting are not parts of a sum.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ringsync.report.intervals import Interval, intersect, length, subtract, union
from ringsync.report.timeline import Event, RankTimeline

_TRAIN, _ENGINE, _DEVICE = "train", "engine", "device"
_COMPUTE = frozenset({"forward", "backward", "step"})


@dataclass(frozen=True, slots=True)
class StepOverlap:
    r"""The figures of one step of one rank; the module's text defines them.

    Attributes:
        total_ns: T.
        compute_ns: |C|.
        communication_ns: |M|.
        hidden_ns: |C n M|.
        exposed_ns: |M \ C|.
        waiting_ns: |W \ C|.
        idle_ns: T - |C u M u W|.
    """

    total_ns: int
    compute_ns: int
    communication_ns: int
    hidden_ns: int
    exposed_ns: int
    waiting_ns: int
    idle_ns: int


def measure_steps(timeline: RankTimeline) -> tuple[StepOverlap, ...]:
    """Measure every complete step of one rank.

    Args:
        timeline: The rank's events.

    Returns:
        One record per step, in time order; empty if the rank recorded no `step`.

    Cost: O(events log events + steps * events per step).
    """
    train = [event for event in timeline.events if event.lane == _TRAIN]
    engine = [event for event in timeline.events if event.lane == _ENGINE]
    device = [event for event in timeline.events if event.lane == _DEVICE]
    busy = _cover(event for event in train if event.name in _COMPUTE)
    compute = subtract(busy, _cover(event for event in train if event.name == "wait"))
    runs = [event for event in engine if event.name == "run"]
    communication = _cover([*runs, *device])
    waiting = _cover(event for event in engine if event.name == "agree")
    bounds = _step_bounds(train)
    cut = [_cut(whole, bounds) for whole in (compute, communication, waiting)]
    return tuple(
        _measure(end - start, *sets) for (start, end), *sets in zip(bounds, *cut, strict=True)
    )


def overlap_ratio(steps: Iterable[StepOverlap]) -> float | None:
    """Give the share of all communication that was hidden behind computing.

    Args:
        steps: Any steps of one rank, or of all.

    Returns:
        Between 0 and 1; None if there was no communication.
    """
    hidden_ns = communication_ns = 0
    for step in steps:
        hidden_ns += step.hidden_ns
        communication_ns += step.communication_ns
    return hidden_ns / communication_ns if communication_ns else None


def _measure(
    total_ns: int, compute: list[Interval], communication: list[Interval], waiting: list[Interval]
) -> StepOverlap:
    hidden_ns = length(intersect(compute, communication))
    communication_ns = length(communication)
    return StepOverlap(
        total_ns=total_ns,
        compute_ns=length(compute),
        communication_ns=communication_ns,
        hidden_ns=hidden_ns,
        exposed_ns=communication_ns - hidden_ns,
        waiting_ns=length(subtract(waiting, compute)),
        idle_ns=total_ns - length(union([*compute, *communication, *waiting])),
    )


def _step_bounds(train: list[Event]) -> list[Interval]:
    if not train:
        return []
    first_ns = min(event.start_ns for event in train)
    ends = sorted({event.end_ns for event in train if event.name == "step"} - {first_ns})
    return list(zip([first_ns, *ends], ends, strict=False))


def _cover(events: Iterable[Event]) -> list[Interval]:
    return union((event.start_ns, event.end_ns) for event in events)


def _cut(whole: list[Interval], bounds: list[Interval]) -> list[list[Interval]]:
    """Divide a set among consecutive steps, in one pass over both."""
    parts: list[list[Interval]] = []
    position = 0
    for start, end in bounds:
        while position < len(whole) and whole[position][1] <= start:
            position += 1
        last = position
        while last < len(whole) and whole[last][0] < end:
            last += 1
        parts.append(intersect(whole[position:last], [(start, end)]))
    return parts
