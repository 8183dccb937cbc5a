"""Loads the file that one rank wrote, and refuses what cannot be a timeline.

The files may come from anywhere, so every field and size is checked here, once; the other rooms
trust the records. What the events mean is in overlap.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ringsync.errors import ConfigError

T = TypeVar("T")

SCHEMA = 1
RANK_FILES = "rank.[0-9]*.json"
_LARGEST_FILE_BYTES = 1 << 30  # about ten million events; the parsed form takes ten times as much
_MOST_EVENTS = 10_000_000
_MOST_RANKS = 1 << 20
_LONGEST_NAME = 1024
_LAST_NS = 1 << 62  # 146 years after boot


@dataclass(frozen=True, slots=True)
class Event:
    """One span of time on one lane of one rank.

    Attributes:
        lane: "train", "engine" or "device".
        name: What was done: forward, backward, wait, step, submit, agree, pack, run, ...
        start_ns: CLOCK_MONOTONIC, common to all ranks of a host.
        end_ns: Not before `start_ns`.
        args: Facts such as bytes and tensor; may be empty.
    """

    lane: str
    name: str
    start_ns: int
    end_ns: int
    args: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class RankTimeline:
    """What one rank recorded.

    Attributes:
        rank: Its number.
        size: Ranks in its job.
        host: Its host.
        pid: Its process id.
        dropped: Events that found no room and are missing.
        events: In the order written.
    """

    rank: int
    size: int
    host: str
    pid: int
    dropped: int
    events: tuple[Event, ...]


def load_directory(directory: Path) -> tuple[RankTimeline, ...]:
    """Load all rank files of one run.

    Args:
        directory: Where `rank.NN.json` lie; a `timeline.json` in it is not read.

    Returns:
        The ranks that left a file, in rank order.

    Raises:
        ConfigError: There is none, one is not valid, or they are not of one run.
    """
    if not directory.is_dir():
        raise ConfigError(
            f"[timeline] {directory} is not a directory. Name the one given to --timeline."
        )
    paths = sorted(directory.glob(RANK_FILES))
    if not paths:
        raise ConfigError(
            f"[timeline] {directory} holds no rank.NN.json. Record a run into it with "
            f"ringsyncrun --timeline {directory}."
        )
    found: dict[int, Path] = {}
    timelines: list[RankTimeline] = []
    for path in paths:
        timeline = load_rank(path)
        if timeline.rank in found:
            raise ConfigError(
                f"[timeline] {path} and {found[timeline.rank].name} are both of rank "
                f"{timeline.rank}. Remove the one of another run."
            )
        if timelines and timeline.size != timelines[0].size:
            raise ConfigError(
                f"[timeline] {path} is of a job of {timeline.size} ranks, {paths[0].name} of "
                f"{timelines[0].size}. Remove the files of the other run."
            )
        found[timeline.rank] = path
        timelines.append(timeline)
    return tuple(sorted(timelines, key=lambda timeline: timeline.rank))


def load_rank(path: Path) -> RankTimeline:
    """Load and check one rank's file.

    Args:
        path: A `rank.NN.json`.

    Returns:
        Its contents.

    Raises:
        ConfigError: It cannot be read, is not JSON, or does not follow schema 1.
    """
    document = read_json(path)
    where = str(path)
    if not isinstance(document, dict):
        raise _invalid(where, "is not a JSON object")
    if document.get("schema") != SCHEMA:
        raise _invalid(where, f"has schema {document.get('schema')!r}, not {SCHEMA}")
    size = _whole(document, "size", where, 1, _MOST_RANKS)
    events = _field(document, "events", list, where)
    if len(events) > _MOST_EVENTS:
        raise _invalid(where, f"has {len(events)} events, more than {_MOST_EVENTS}")
    return RankTimeline(
        rank=_whole(document, "rank", where, 0, size - 1),
        size=size,
        host=_text(document, "host", where),
        pid=_whole(document, "pid", where, 0, _LAST_NS),
        dropped=_whole(document, "dropped", where, 0, _LAST_NS),
        events=tuple(_event(event, index, where) for index, event in enumerate(events)),
    )


def read_json(path: Path) -> Any:  # noqa: ANN401 - any JSON value; the caller checks its form
    """Read a JSON file of bounded size.

    Args:
        path: The file.

    Returns:
        The parsed value.

    Raises:
        ConfigError: It cannot be read, is too large or is not JSON.
    """
    try:
        size_bytes = path.stat().st_size
        if size_bytes > _LARGEST_FILE_BYTES:
            raise _invalid(str(path), f"has {size_bytes} bytes, more than {_LARGEST_FILE_BYTES}")
        text = path.read_text(encoding="utf-8")
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except OSError as error:
        raise ConfigError(
            f"[timeline] {path} cannot be read: {error.strerror}. Check the path."
        ) from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise _invalid(str(path), f"is not JSON ({error})") from error


def _finite(text: str) -> float:
    """Parse a number, but not NaN or Infinity, which viewers cannot read back."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def _event(event: object, index: int, path: str) -> Event:
    where = f"{path}, event {index},"
    if not isinstance(event, dict):
        raise _invalid(where, "is not a JSON object")
    start_ns = _whole(event, "start_ns", where, 0, _LAST_NS)
    end_ns = _whole(event, "end_ns", where, 0, _LAST_NS)
    if end_ns < start_ns:
        raise _invalid(where, f"has a negative duration: start_ns {start_ns}, end_ns {end_ns}")
    args = event.get("args", {})
    if not isinstance(args, dict):
        raise _invalid(where, f"has args {args!r:.60}, which is not a JSON object")
    return Event(_text(event, "lane", where), _text(event, "name", where), start_ns, end_ns, args)


def _field(record: dict[str, Any], name: str, kind: type[T], where: str) -> T:
    if name not in record:
        raise _invalid(where, f"has no field {name!r}")
    value = record[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _invalid(where, f"has {name} {value!r:.60}, which is not of type {kind.__name__}")
    return value


def _whole(record: dict[str, Any], name: str, where: str, least: int, most: int) -> int:
    value = _field(record, name, int, where)
    if not least <= value <= most:
        raise _invalid(where, f"has {name} {value}, which is not in {least}..{most}")
    return value


def _text(record: dict[str, Any], name: str, where: str) -> str:
    value = _field(record, name, str, where)
    if not 0 < len(value) <= _LONGEST_NAME:
        raise _invalid(where, f"has a {name} of {len(value)} characters, not 1..{_LONGEST_NAME}")
    return value


def _invalid(where: str, what: str) -> ConfigError:
    return ConfigError(f"[timeline] {where} {what}. Record the run again, or remove the file.")
