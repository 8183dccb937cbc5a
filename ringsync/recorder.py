"""One rank's timeline: its events, kept below the door and written to one file at the end.

Merging the ranks' files, and every figure made of them, is the report's matter.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from pathlib import Path
from typing import Protocol

from ringsync.errors import ConfigError, RingsyncError
from ringsync.words import in_line
from ringsync.world import World

# Version of the rank files' form.
SCHEMA = 1

# The lane of what the training thread does; the engine's own lane is "engine".
TRAIN_LANE = "train"


class EventLog(Protocol):
    """The part of the native engine that keeps events."""

    def start_events(self) -> None:
        """Begin to keep events, forgetting earlier ones."""

    def stop_events(self) -> None:
        """Keep no more events."""

    def take_events(self) -> list[tuple[str, str, int, int, str, int]]:
        """Take out lane, name, start_ns, end_ns, tensor and bytes of all events."""

    def dropped_events(self) -> int:
        """Count the events for which there was no room."""

    def record_event(
        self, lane: str, name: str, start_ns: int, end_ns: int, tensor: str, size_bytes: int, /
    ) -> None:
        """Keep an event."""


class Recorder:
    """Records one rank, from `start` to `stop`."""

    def __init__(self, log: EventLog, world: World) -> None:
        """Record nothing yet.

        Args:
            log: Where events are kept.
            world: The rank that is recorded.
        """
        self._log = log
        self._world = world
        self._directory: Path | None = None

    def start(self, path: str | os.PathLike[str]) -> None:
        """Record from now on.

        Args:
            path: Directory for the ranks' files; it is created.

        Raises:
            ConfigError: The directory cannot be made or written, or a recording is under way.
        """
        if self._directory is not None:
            raise ConfigError(
                f"[timeline] already recording to '{self._directory}'. Call stop_timeline() first."
            )
        try:
            directory = Path(path).absolute()
            directory.mkdir(parents=True, exist_ok=True)
        except (TypeError, ValueError):  # no path, or none that a file system can hold
            raise ConfigError(
                f"[timeline] path={in_line(path)}; a directory is expected. Pass its name."
            ) from None
        except OSError as error:
            raise ConfigError(
                f"[timeline] '{directory}' cannot be made: {error.strerror}. Name a directory "
                "that can be written."
            ) from error
        if not os.access(directory, os.W_OK):
            raise ConfigError(
                f"[timeline] '{directory}' cannot be written. Name another directory."
            )
        self._directory = directory
        self._log.start_events()

    def stop(self) -> None:
        """Write what was recorded to `rank.NN.json` and stop; without a recording do nothing.

        Raises:
            RingsyncError: The file cannot be written; nothing of it is left.
        """
        if self._directory is None:
            return
        directory, self._directory = self._directory, None
        self._log.stop_events()
        target = directory / f"rank.{self._world.rank:02d}.json"
        draft = target.with_suffix(".json.part")
        try:
            draft.write_text(json.dumps(self._file(), separators=(",", ":")))
            draft.replace(target)
        except OSError as error:
            with contextlib.suppress(OSError):  # the first failure is the one to tell
                draft.unlink()
            raise RingsyncError(
                f"[timeline] '{target}' cannot be written: {error.strerror}. Its events are lost; "
                "record into a directory with room for them."
            ) from error

    def mark(
        self, name: str, start_ns: int, end_ns: int | None, tensor: str = "", size_bytes: int = 0
    ) -> None:
        """Keep an event of the training thread, if recording.

        Args:
            name: One of the timeline's words.
            start_ns: Its begin in nanoseconds of CLOCK_MONOTONIC.
            end_ns: Its end; None means now.
            tensor: Name of the operation it belongs to, or "".
            size_bytes: Bytes that it concerns.
        """
        if self._directory is None:
            return
        end = time.monotonic_ns() if end_ns is None else end_ns
        self._log.record_event(TRAIN_LANE, name, start_ns, end, tensor, size_bytes)

    def _file(self) -> dict[str, object]:
        return {
            "schema": SCHEMA,
            "rank": self._world.rank,
            "size": self._world.size,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "dropped": self._log.dropped_events(),
            "events": [
                {
                    "lane": lane,
                    "name": name,
                    "start_ns": start_ns,
                    "end_ns": end_ns,
                    "args": {"tensor": tensor, "bytes": size_bytes} if tensor else {},
                }
                for lane, name, start_ns, end_ns, tensor, size_bytes in self._log.take_events()
            ],
        }
