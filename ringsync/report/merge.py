"""Writes the ranks' timelines as one Chrome Trace Event file, which Perfetto and Chrome open.

Perfetto drops complete events that partly overlap on one track, without a word; so events are
laid on tracks where they only nest or follow one another. Nothing is measured here.

Source: Trace Event Format, "Complete Events" and "Metadata Events" (Chromium project document).
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ringsync.report.timeline import SCHEMA, Event, RankTimeline, load_directory

MERGED_NAME = "timeline.json"
_LANE_ORDER = {"train": 0, "engine": 1}  # then any other, by name


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge produced.

    Attributes:
        path: The file.
        ranks: The ranks in it.
        size: Ranks in the job; more than `ranks` if some left no file.
        events: Number of complete events.
        dropped: Events that the ranks could not record.
    """

    path: Path
    ranks: tuple[int, ...]
    size: int
    events: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Track:
    """Events of one lane that can be drawn on one line.

    Attributes:
        name: The lane's name; with a number from the second track of a lane on.
        events: By start, the enclosing before the enclosed.
    """

    name: str
    events: tuple[Event, ...]


def merge_directory(directory: Path) -> Merged:
    """Merge the rank files of a directory into `timeline.json` beside them, in one atomic step.

    Args:
        directory: Value of `--timeline`.

    Returns:
        What was written.

    Raises:
        ConfigError: There are no valid rank files.
        OSError: The file cannot be written.
    """
    timelines = load_directory(directory)
    path = directory / MERGED_NAME
    draft = directory / f".{MERGED_NAME}.{os.getpid()}"
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.writelines(merged_text(timelines))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return Merged(
        path=path,
        ranks=tuple(timeline.rank for timeline in timelines),
        size=timelines[0].size,
        events=sum(len(timeline.events) for timeline in timelines),
        dropped=sum(timeline.dropped for timeline in timelines),
    )


def merged_text(timelines: Sequence[RankTimeline]) -> Iterator[str]:
    """Yield the merged file piece by piece, so that it is never in memory as a whole.

    Times are microseconds after the earliest event, exact to the nanosecond.

    Args:
        timelines: One or more ranks of one job.

    Yields:
        Text; together one JSON object.
    """
    starts = [event.start_ns for timeline in timelines for event in timeline.events]
    base_ns = min(starts, default=0)
    facts = {
        "schema": SCHEMA,
        "clock": "CLOCK_MONOTONIC",
        "base_ns": base_ns,
        "size": timelines[0].size,
        "ranks": {
            str(timeline.rank): {
                "host": timeline.host,
                "pid": timeline.pid,
                "dropped": timeline.dropped,
            }
            for timeline in timelines
        },
    }
    yield '{"displayTimeUnit": "ms",\n"metadata": '
    yield json.dumps({"ringsync": facts})
    yield ',\n"traceEvents": ['
    separator = "\n"
    for record in _records(timelines, base_ns):
        yield separator + json.dumps(record)
        separator = ",\n"
    yield "\n]}\n"


def lay_tracks(lane: str, events: Iterable[Event]) -> tuple[Track, ...]:
    """Lay the events of a lane on as few tracks as a greedy pass needs.

    Args:
        lane: The lane's name.
        events: In any order.

    Returns:
        Tracks on which any two events follow one another (touching allowed), or one contains the
        other and is longer.

    Cost: O(events * tracks), after sorting.
    """
    tracks: list[tuple[list[Event], list[Event]]] = []  # events, and those open at the moment
    for event in sorted(events, key=lambda event: (event.start_ns, -event.end_ns)):
        track = next((track for track in tracks if _has_room(track[1], event)), None)
        if track is None:
            track = ([], [])
            tracks.append(track)
        for stack in track:
            stack.append(event)
    return tuple(
        Track(lane if number == 1 else f"{lane} {number}", tuple(laid))
        for number, (laid, _) in enumerate(tracks, start=1)
    )


def _has_room(enclosing: list[Event], event: Event) -> bool:
    while enclosing and enclosing[-1].end_ns <= event.start_ns:
        enclosing.pop()
    if not enclosing:
        return True
    inner = enclosing[-1]  # no event that is open ends before this one
    is_same = (inner.start_ns, inner.end_ns) == (event.start_ns, event.end_ns)
    return event.end_ns <= inner.end_ns and not is_same


def _records(timelines: Sequence[RankTimeline], base_ns: int) -> Iterator[dict[str, object]]:
    size = timelines[0].size
    # Perfetto sorts processes by name, so numbers are of equal width; takes process 0 for the idle
    # one; and puts a thread whose number is its process's first. Other threads get numbers that no
    # process has.
    width = len(str(size - 1))
    other_tids = itertools.count(size + 1)
    for timeline in timelines:
        pid = timeline.rank + 1
        name = f"rank {timeline.rank:0{width}} ({timeline.host})"
        yield _name_record("process_name", pid, 0, name)
        yield {**_record("process_sort_index", "M", pid, 0), "args": {"sort_index": pid}}
        for number, track in enumerate(_tracks(timeline)):
            tid = next(other_tids) if number else pid
            yield _name_record("thread_name", pid, tid, track.name)
            yield {**_record("thread_sort_index", "M", pid, tid), "args": {"sort_index": tid}}
            for event in track.events:
                yield {
                    **_record(event.name, "X", pid, tid),
                    "cat": event.lane,
                    "ts": (event.start_ns - base_ns) / 1000,
                    "dur": (event.end_ns - event.start_ns) / 1000,
                    "args": dict(event.args),
                }


def _tracks(timeline: RankTimeline) -> Iterator[Track]:
    lanes: dict[str, list[Event]] = {}
    for event in timeline.events:
        lanes.setdefault(event.lane, []).append(event)
    for lane in sorted(lanes, key=lambda lane: (_LANE_ORDER.get(lane, len(_LANE_ORDER)), lane)):
        yield from lay_tracks(lane, lanes[lane])


def _record(name: str, phase: str, pid: int, tid: int) -> dict[str, object]:
    return {"name": name, "ph": phase, "pid": pid, "tid": tid}


def _name_record(kind: str, pid: int, tid: int, name: str) -> dict[str, object]:
    return {**_record(kind, "M", pid, tid), "args": {"name": name}}
