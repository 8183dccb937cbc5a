"""Overlap figures are measured, not summed: they equal a count of single nanoseconds."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync.report.intervals import intersect, length, subtract, union
from ringsync.report.overlap import StepOverlap, measure_steps
from ringsync.report.summary import summarize
from ringsync.report.timeline import Event, RankTimeline

PAIRS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda pair: (pair[0], sum(pair))),
    max_size=12,
)
NAMES = {
    "train": ["forward", "backward", "step", "wait", "submit", "pack"],
    "engine": ["agree", "run", "unpack"],
    "device": ["fetch", "pack", "run", "unpack", "deliver"],
}
EVENTS = st.lists(
    st.sampled_from([(lane, name) for lane, names in NAMES.items() for name in names]).flatmap(
        lambda kind: st.tuples(st.just(kind), st.integers(0, 60), st.integers(0, 20))
    ),
    max_size=25,
)


def points(pairs) -> set[int]:
    return {point for start, end in pairs for point in range(start, end)}


def timeline_of(events: list[Event]) -> RankTimeline:
    return RankTimeline(0, 1, "h", 1, 0, tuple(events))


def rasterise(events: list[Event]) -> list[StepOverlap]:
    """The definitions, one nanosecond at a time."""

    def cover(lane: str, *names: str) -> set[int]:
        chosen = [event for event in events if event.lane == lane and event.name in names]
        return points((event.start_ns, event.end_ns) for event in chosen)

    train = [event for event in events if event.lane == "train"]
    if not train:
        return []
    begin = min(event.start_ns for event in train)
    steps = []
    for end in sorted({event.end_ns for event in train if event.name == "step"}):
        whole = set(range(begin, end))
        if not whole:
            continue
        compute = whole & (cover("train", "forward", "backward", "step") - cover("train", "wait"))
        run = whole & (cover("engine", "run") | cover("device", *NAMES["device"]))
        agree = whole & cover("engine", "agree")
        hidden = len(compute & run)
        exposed, waiting = len(run - compute), len(agree - compute)
        idle = len(whole - compute - run - agree)
        steps.append(
            StepOverlap(len(whole), len(compute), len(run), hidden, exposed, waiting, idle)
        )
        begin = end
    return steps


@given(PAIRS, PAIRS)
def test_interval_sets_behave_as_sets_of_points(first, second):
    a, b = union(first), union(second)
    assert points(a) == points(first)
    assert length(a) == len(points(first))
    assert points(intersect(a, b)) == points(first) & points(second)
    assert points(subtract(a, b)) == points(first) - points(second)
    assert all(x[1] < y[0] for x, y in itertools.pairwise(a))


@given(EVENTS)
def test_the_figures_equal_a_count_of_single_nanoseconds(kinds):
    events = [
        Event(lane, name, start, start + duration, {}) for (lane, name), start, duration in kinds
    ]
    assert list(measure_steps(timeline_of(events))) == rasterise(events)


MS = 1_000_000
ANALYTIC = [("train", "forward", 0, 10), ("train", "backward", 10, 30), ("train", "step", 40, 42)]


@pytest.mark.parametrize(
    ("run", "overlap", "exposed_ms", "idle_ms"),
    [((10, 20), 1.0, 0.0, 10.0), ((25, 35), 0.5, 5.0, 5.0), ((30, 40), 0.0, 10.0, 0.0)],
)
def test_analytic_traces_give_their_overlap_exactly(run, overlap, exposed_ms, idle_ms):
    spans = [*ANALYTIC, ("engine", "run", *run), ("engine", "run", *run)]
    one = [Event(lane, name, a * MS, b * MS, {}) for lane, name, a, b in spans]
    two = [Event(e.lane, e.name, e.start_ns + 42 * MS, e.end_ns + 42 * MS, {}) for e in one]
    summary = summarize(timeline_of([*two, *one]))
    assert (summary.steps, summary.step_ms, summary.communication_ms) == (2, 42.0, 10.0)
    assert (summary.overlap, summary.exposed_ms, summary.idle_ms) == (overlap, exposed_ms, idle_ms)


def test_waiting_inside_backward_is_not_computing_and_not_communicating():
    spans = [*ANALYTIC, ("train", "wait", 20, 30), ("engine", "agree", 15, 25)]
    spans.append(("engine", "run", 25, 35))
    events = [Event(lane, name, a * MS, b * MS, {}) for lane, name, a, b in spans]
    (step,) = measure_steps(timeline_of(events))
    assert step == StepOverlap(42 * MS, 22 * MS, 10 * MS, 0, 10 * MS, 5 * MS, 5 * MS)


def test_what_follows_the_last_step_is_left_out():
    spans = [*ANALYTIC, ("train", "forward", 50, 90), ("engine", "run", 60, 70)]
    events = [Event(lane, name, a, b, {}) for lane, name, a, b in spans]
    (step,) = measure_steps(timeline_of(events))
    assert (step.total_ns, step.communication_ns) == (42, 0)
