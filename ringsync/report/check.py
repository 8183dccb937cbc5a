"""Validates a merged timeline: what viewers would drop or misdraw in silence is said aloud.

It trusts nothing about who wrote the file, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ringsync.errors import ConfigError
from ringsync.report.timeline import read_json
from ringsync.world import MOST_RANKS

_MOST_PROBLEMS = 100  # beyond it more lines do not help; the count is told
_MOST_SHOWN = 10
_LAST_US = 2**53 / 1000  # beyond it a float no longer tells nanoseconds apart

# start_ns, end_ns, name
_Span = tuple[int, int, str]


def check_merged(path: Path) -> list[str]:
    """Check a Chrome Trace Event file of complete and metadata events.

    Args:
        path: A merged file, usually DIR/timeline.json.

    Returns:
        One line per problem, at most 100 and a count of the rest; empty if all is well.

    Raises:
        ConfigError: The file cannot be read or is not a trace at all.
    """
    document = read_json(path)
    events = document.get("traceEvents") if isinstance(document, dict) else None
    if not isinstance(events, list):
        raise ConfigError(
            f"[timeline] {path} has no list traceEvents, so it is not a merged timeline. Make one "
            "with: ringsync timeline merge DIR."
        )
    problems = [*_problems(events), *_gaps(document)]
    if len(problems) > _MOST_PROBLEMS:
        rest = len(problems) - _MOST_PROBLEMS
        problems[_MOST_PROBLEMS:] = [f"and {rest} more"]
    return problems


def _gaps(document: dict[str, Any]) -> Iterator[str]:
    """What the file itself says is not in it."""
    facts = _dict(_dict(document.get("metadata")).get("ringsync"))
    ranks = _dict(facts.get("ranks"))
    size = facts.get("size", 0)
    if not isinstance(size, int) or not 0 <= size <= MOST_RANKS:
        yield f"its size is {size!r}, no number of ranks"
        size = 0
    missing = [rank for rank in range(size) if str(rank) not in ranks]
    if missing:
        shown = ", ".join(map(str, missing[:_MOST_SHOWN]))
        more = f" and {len(missing) - _MOST_SHOWN} more" if len(missing) > _MOST_SHOWN else ""
        yield f"ranks {shown}{more} of {size} left no file"
    for rank, known in ranks.items():
        if dropped := _dict(known).get("dropped"):
            yield f"rank {rank!r} had no room for {dropped!r} events"
    if not any(isinstance(e, dict) and e.get("ph") == "X" for e in document["traceEvents"]):
        yield "there is no complete event in it"


def _problems(events: list[Any]) -> Iterator[str]:
    tracks: dict[tuple[int, int], list[_Span]] = {}
    named: set[tuple[str, int, int]] = set()
    for index, event in enumerate(events):
        if not isinstance(event, dict) or not isinstance(event.get("name"), str):
            yield f"event {index} is not an object with a name"
        elif not all(_is_whole(event.get(key)) for key in ("pid", "tid")):
            yield f"event {index} ({event['name']}) has no whole-number pid and tid"
        elif event.get("ph") not in ("M", "X"):
            yield f"event {index} ({event['name']}) is of an unexpected kind {event.get('ph')!r}"
        elif event["ph"] == "M":
            named.add((event["name"], event["pid"], event["tid"]))
        elif not (_is_number(event.get("ts")) and _is_number(event.get("dur"))):
            yield f"event {index} ({event['name']}) has no numbers ts and dur"
        elif not (0 <= event["ts"] < _LAST_US and 0 <= event["dur"] < _LAST_US):
            times = f"starts at {event['ts']}, lasts {event['dur']} us"
            yield f"event {index} ({event['name']}) {times}"
        else:
            start_ns = round(event["ts"] * 1000)
            span = (start_ns, start_ns + round(event["dur"] * 1000), event["name"])
            tracks.setdefault((event["pid"], event["tid"]), []).append(span)
    for (pid, tid), spans in sorted(tracks.items()):
        if ("thread_name", pid, tid) not in named:
            yield f"pid {pid} tid {tid} has no thread_name"
        if ("process_name", pid, 0) not in named:
            yield f"pid {pid} has no process_name"
        yield from _crossings(pid, tid, spans)


def _crossings(pid: int, tid: int, spans: list[_Span]) -> Iterator[str]:
    open_spans: list[_Span] = []
    for span in sorted(spans, key=lambda span: (span[0], -span[1])):
        start, end, name = span
        while open_spans and open_spans[-1][1] <= start:
            open_spans.pop()
        if open_spans and end > open_spans[-1][1]:
            _, other_end, other = open_spans[-1]
            yield (
                f"pid {pid} tid {tid}: {name} [{start}, {end}) ns partly overlaps {other}, "
                f"which ends at {other_end} ns"
            )
        open_spans.append(span)


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
