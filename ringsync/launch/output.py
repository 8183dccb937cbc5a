"""Carries the ranks' output to the launcher's own, line by line, and is its one way to print.

It works on bytes, so no character is ever split or replaced; it decides nothing about the job.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from typing import BinaryIO

from ringsync.launch.codes import OUTPUT_ERROR
from ringsync.launch.log import Log
from ringsync.launch.sink import Sink
from ringsync.launch.tail import Tail

READER_GONE = 128 + signal.SIGPIPE

_STDOUT = 1
_STDERR = 2  # the highest standard descriptor; os.open always takes the lowest free number
_READ_BYTES = 64 * 1024  # the usual capacity of a pipe, so one read can empty it
# More than a pipe can hold (1 MiB without privileges), so what a dead rank wrote is all taken,
# while a stranger that inherited the pipe and writes for ever cannot keep the launcher here.
_MOST_DRAINED_BYTES = 4 * 1024 * 1024
# A line that never ends must not fill the memory; cut there, far beyond any line meant for eyes.
_LONGEST_LINE_BYTES = 1024 * 1024
# `\r` ends a line too, or a progress bar would show only when it is over; `\r\n` stays one end.
_LINE_END = re.compile(rb"\n|\r\n|\r(?=[^\n])")
# A guard has cut the lines already: to wait once more for what follows `\r` would show a progress
# bar late by another step.
_GUARDED_LINE_END = re.compile(rb"\n|\r\n?")


def say(line: str) -> None:
    """Print one line of the launcher itself on stderr; for the time when no supervisor runs."""
    text = f"{line}\n".encode(errors="surrogateescape")
    with contextlib.suppress(OSError):  # stderr itself is gone: there is nowhere left to say it
        while text:
            text = text[os.write(_STDERR, text) :]


def answer(text: str) -> int:
    """Print what was asked for on stdout.

    Args:
        text: Without a final newline.

    Returns:
        The exit code: 141 if the reader has gone, 74 if it cannot be written.
    """
    data = f"{text}\n".encode(errors="surrogateescape")
    try:
        while data:
            data = data[os.write(_STDOUT, data) :]
    except BrokenPipeError:
        return READER_GONE
    except OSError as error:
        say(f"[ringsyncrun] stdout cannot be written: {error.strerror}.")
        return OUTPUT_ERROR
    return 0


def open_missing_standard_streams() -> None:
    """Put /dev/null where stdin, stdout or stderr is closed, so that no pipe takes its number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)


class Lines:
    """Cuts a stream of bytes into lines, whatever the borders of the chunks."""

    def __init__(self, *, is_guarded: bool = False, reserve_bytes: int = 0) -> None:
        """Start with nothing read.

        Args:
            is_guarded: The stream comes from another `Lines`, so what ends it is known to be whole.
            reserve_bytes: How much shorter the longest line is, so that a prefix fits before it.
        """
        self._end = _GUARDED_LINE_END if is_guarded else _LINE_END
        self._longest_bytes = _LONGEST_LINE_BYTES - reserve_bytes
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield each line that `data` completes, with its own end; the rest is kept."""
        buffer = self._rest + data
        done = 0
        for match in self._end.finditer(buffer):
            line, done = buffer[done : match.end()], match.end()
            yield line
        self._rest = buffer[done:]
        while len(self._rest) > self._longest_bytes:
            cut = _character_border(self._rest, self._longest_bytes)
            line, self._rest = self._rest[:cut], self._rest[cut:]
            yield line + b"\n"

    def finish(self) -> Iterator[bytes]:
        """Yield the unfinished last line, if there is one, closed by a newline."""
        rest, self._rest = self._rest, b""
        if rest:
            yield rest + b"\n"


class Stream:
    """The stdout or the stderr of one rank, on its way to a sink and to its log file."""

    def __init__(
        self,
        pipe: BinaryIO,
        sink: Sink,
        prefix: bytes | None,
        *,
        is_guarded: bool = False,
        log: Log | None = None,
        tail: Tail | None = None,
    ) -> None:
        """Take over `pipe` (non-blocking) and `log`.

        Args:
            pipe: Read end.
            sink: Where the lines go.
            prefix: Put before each line; None passes the bytes on as they come.
            is_guarded: The bytes come from a guard, which has made lines of them.
            log: Gets the raw bytes, or None.
            tail: Is shown every line, or None.
        """
        self._pipe = pipe
        self._sink = sink
        self._prefix = prefix
        self._log = log
        self._tail = tail
        reserve_bytes = 0 if is_guarded else len(prefix or b"") + 1
        self._lines = Lines(is_guarded=is_guarded, reserve_bytes=reserve_bytes)

    @property
    def descriptor(self) -> int:
        """The pipe's number, for the selector."""
        return self._pipe.fileno()

    @property
    def is_open(self) -> bool:
        """Whether more may come."""
        return not self._pipe.closed

    def read_some(self) -> int | None:
        """Move what one read gives; 0 means the end, None that nothing is there now."""
        data: bytes | None = self._pipe.read(_READ_BYTES)
        if data is None:
            return None
        self._emit(self._lines.feed(data))
        if self._prefix is None:
            self._sink.write(data)
        if self._log is not None:
            self._log.write(data)
        return len(data)

    def drain(self) -> None:
        """Move all that is in the pipe at this moment; does not wait for more."""
        moved = 0
        while self.is_open and moved < _MOST_DRAINED_BYTES:
            count = self.read_some()
            if not count:
                return
            moved += count

    def close(self) -> None:
        """Move the unfinished last line and close; a second call does nothing."""
        if not self.is_open:
            return
        self._emit(self._lines.finish())
        self._pipe.close()
        if self._log is not None:
            self._log.close()

    def _emit(self, lines: Iterator[bytes]) -> None:
        for line in lines:
            if self._tail is not None:
                self._tail.add(line)
            if self._prefix is not None:
                self._sink.write(self._prefix + line)


def _character_border(data: bytes, position: int) -> int:
    """Move `position` back to where a UTF-8 character starts; those have at most four bytes."""
    for border in range(position, position - 4, -1):
        if data[border] & 0xC0 != 0x80:  # noqa: PLR2004 - 10xxxxxx continues a character
            return border
    return position
