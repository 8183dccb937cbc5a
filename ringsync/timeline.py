"""The timeline's switches, and marks of what the training thread does."""

from __future__ import annotations

import os

from ringsync.runtime import current


def start_timeline(path: str | os.PathLike[str]) -> None:
    """Record from now on; call it on every rank.

    Args:
        path: Directory for the ranks' files; it is created. `stop_timeline`, or the end of the
            process, writes `rank.NN.json` there, over the one of an earlier recording;
            `ringsync timeline merge` makes one file of them.

    Raises:
        ConfigError: The directory cannot be made or written, or a timeline is being recorded.
        NotInitializedError: Before `init`.

    Cost: About a microsecond per event while recording, one load otherwise.
    """
    current().recorder.start(path)


def stop_timeline() -> None:
    """Stop recording and write this rank's file; without a recording it does nothing.

    Raises:
        NotInitializedError: Before `init`.
        RingsyncError: The file cannot be written.
    """
    current().recorder.stop()


def mark(
    name: str, start_ns: int, end_ns: int | None = None, tensor: str = "", size_bytes: int = 0
) -> None:
    """Record an event of the training thread, if a timeline is being recorded.

    Args:
        name: One of the timeline's words: forward, backward, submit, pack, wait, step.
        start_ns: Its begin in nanoseconds of CLOCK_MONOTONIC (`time.monotonic_ns`).
        end_ns: Its end; None means now.
        tensor: Name of the operation it belongs to.
        size_bytes: Bytes that it concerns.

    Raises:
        NotInitializedError: Before `init`.
    """
    current().recorder.mark(name, start_ns, end_ns, tensor, size_bytes)
