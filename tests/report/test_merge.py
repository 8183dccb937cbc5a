"""The merged file shows every event once, and none where a viewer would drop it."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync.report.check import check_merged
from ringsync.report.merge import lay_tracks, merge_directory, merged_text
from ringsync.report.timeline import Event, RankTimeline

SPANS = st.tuples(
    st.sampled_from(["train", "engine", "other"]),
    st.sampled_from(["forward", "run"]),
    st.integers(0, 40),
    st.integers(0, 12),
)


def event_of(span: tuple) -> Event:
    lane, name, start, duration = span
    return Event(lane, name, start, start + duration, {})


def timeline_of(rank: int, size: int, events: list[Event]) -> RankTimeline:
    return RankTimeline(rank, size, "h", 1, 0, tuple(events))


def is_allowed(a: Event, b: Event) -> bool:
    """By the definition, for any two events of a track."""
    if a.end_ns <= b.start_ns or b.end_ns <= a.start_ns:
        return True
    a_holds_b = a.start_ns <= b.start_ns and b.end_ns <= a.end_ns
    b_holds_a = b.start_ns <= a.start_ns and a.end_ns <= b.end_ns
    return a_holds_b != b_holds_a


@given(st.lists(SPANS, max_size=40))
def test_no_two_events_of_a_track_partly_overlap_and_none_is_lost(spans):
    events = [event_of(span) for span in spans]
    tracks = lay_tracks("train", events)
    for track in tracks:
        for index, a in enumerate(track.events):
            assert all(is_allowed(a, b) for b in track.events[index + 1 :])
    laid = [event for track in tracks for event in track.events]
    key = [(event.name, event.start_ns, event.end_ns) for event in laid]
    assert Counter(key) == Counter((event.name, event.start_ns, event.end_ns) for event in events)


@given(st.lists(st.lists(SPANS, max_size=25), min_size=1, max_size=4), st.integers(0, 1 << 60))
def test_every_merge_passes_the_check_and_keeps_every_nanosecond(tmp_path_factory, ranks, boot_ns):
    timelines = [
        timeline_of(
            rank,
            len(ranks),
            [
                Event(lane, name, boot_ns + start, boot_ns + start + duration, {})
                for lane, name, start, duration in spans
            ],
        )
        for rank, spans in enumerate(ranks)
    ]
    path = tmp_path_factory.mktemp("merged") / "timeline.json"
    path.write_text("".join(merged_text(timelines)))
    assert check_merged(path) == ([] if any(ranks) else ["there is no complete event in it"])
    document = json.loads(path.read_text())
    base_ns = document["metadata"]["ringsync"]["base_ns"]
    found = Counter(
        (
            event["pid"] - 1,
            event["cat"],
            base_ns + round(event["ts"] * 1000),
            round(event["dur"] * 1000),
        )
        for event in document["traceEvents"]
        if event["ph"] == "X"
    )
    assert found == Counter(
        (timeline.rank, event.lane, event.start_ns, event.end_ns - event.start_ns)
        for timeline in timelines
        for event in timeline.events
    )


def test_nested_events_share_a_track_and_crossing_ones_do_not():
    nested = [Event("train", "backward", 0, 10, {}), Event("train", "submit", 2, 4, {})]
    crossing = Event("train", "odd", 3, 12, {})
    assert [track.name for track in lay_tracks("train", nested)] == ["train"]
    tracks = lay_tracks("train", [*nested, crossing])
    assert [(track.name, len(track.events)) for track in tracks] == [("train", 2), ("train 2", 1)]


def test_equal_and_touching_time_stamps_are_settled():
    same = [Event("engine", "run", 0, 5, {}), Event("engine", "run", 0, 5, {})]
    assert len(lay_tracks("engine", same)) == 2
    touching = [Event("engine", "run", 0, 5, {}), Event("engine", "run", 5, 9, {})]
    empty = [Event("engine", "run", 5, 5, {})] * 3
    assert len(lay_tracks("engine", [*touching, *empty])) == 1


def test_ranks_and_lanes_have_names_and_an_order(write_rank, tmp_path):
    spans = [("engine", "run", 3000, 4500), ("engine", "agree", 4000, 5001), ("train", "a", 1, 2)]
    write_rank(0, spans)
    write_rank(1, spans[:1])
    merged = merge_directory(tmp_path)
    assert (merged.ranks, merged.events, merged.size) == ((0, 1), 4, 2)
    document = json.loads(merged.path.read_text())
    assert document["displayTimeUnit"] == "ms"
    names = {
        (event["pid"], event["tid"]): event["args"]["name"]
        for event in document["traceEvents"]
        if event["name"] in {"thread_name", "process_name"}
    }
    assert names == {
        (1, 0): "rank 0 (h)",
        (1, 1): "train",
        (1, 3): "engine",
        (1, 4): "engine 2",
        (2, 0): "rank 1 (h)",
        (2, 2): "engine",
    }
    agree = next(event for event in document["traceEvents"] if event["name"] == "agree")
    assert (agree["ts"], agree["dur"]) == (3.999, 1.001)


def test_a_merge_leaves_no_draft_and_replaces_the_last_one(write_rank, tmp_path):
    write_rank(0, [("train", "step", 0, 1)], size=1)
    (tmp_path / "timeline.json").write_text("old")
    merge_directory(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rank.00.json", "timeline.json"]
    assert check_merged(tmp_path / "timeline.json") == []


NAMES = [
    {"name": "process_name", "ph": "M", "pid": 0, "tid": 0, "args": {"name": "rank 0"}},
    {"name": "thread_name", "ph": "M", "pid": 0, "tid": 1, "args": {"name": "train"}},
]


def complete(name: str, ts: float, dur: float, **changes) -> dict:
    return {"name": name, "ph": "X", "pid": 0, "tid": 1, "ts": ts, "dur": dur} | changes


@pytest.mark.parametrize(
    ("events", "part"),
    [
        (
            [*NAMES, complete("a", 0, 10), complete("b", 5, 10)],
            "b [5000, 15000) ns partly overlaps",
        ),
        ([*NAMES, complete("a", 0, -1)], "(a) starts at 0, lasts -1 us"),
        ([*NAMES, complete("a", -3, 1)], "(a) starts at -3, lasts 1 us"),
        ([*NAMES, complete("a", 0, 1, ph="B")], "(a) is of an unexpected kind 'B'"),
        (NAMES, "there is no complete event in it"),
        ([*NAMES, complete("a", "0", 1)], "has no numbers ts and dur"),
        ([*NAMES, complete("a", 0, 1, pid=None)], "has no whole-number pid and tid"),
        ([complete("a", 0, 1)], "pid 0 tid 1 has no thread_name"),
        ([7], "event 0 is not an object"),
    ],
)
def test_the_check_finds_what_is_wrong(tmp_path, events, part):
    path = tmp_path / "timeline.json"
    path.write_text(json.dumps({"traceEvents": events}))
    assert part in check_merged(path)[0]


def test_twelve_ranks_sort_by_name_and_no_other_lane_is_taken_for_a_main_thread(
    write_rank, tmp_path
):
    for rank in range(12):
        write_rank(rank, [("train", "step", 0, 9), ("engine", "run", 1, 2)], size=12)
    records = json.loads(merge_directory(tmp_path).path.read_text())["traceEvents"]
    names = [r["args"]["name"] for r in records if r["name"] == "process_name"]
    assert names == sorted(names)
    pids = {r["pid"] for r in records}
    assert 0 not in pids
    for record in records:
        if record["name"] == "thread_name":
            assert (record["tid"] == record["pid"]) == (record["args"]["name"] == "train")
            assert record["args"]["name"] == "train" or record["tid"] not in pids


def test_the_check_does_not_list_problems_without_end(tmp_path):
    path = tmp_path / "timeline.json"
    path.write_text(json.dumps({"traceEvents": [7] * 500}))
    assert len(check_merged(path)) == 101
    assert check_merged(path)[-1] == "and 401 more"
