"""Joins the ranks' output streams to the launcher's own two, at the pace of whoever reads those.

It owns what output.py provides and registers it with the supervisor's selector; the supervisor
calls `throttle` after each turn.
"""

from __future__ import annotations

import selectors
from functools import partial
from typing import BinaryIO

from ringsync.launch.output import Sink, Stream

_STDOUT, _STDERR = 1, 2
_BACKLOG_BYTES = 1024 * 1024  # past it the ranks wait for the launcher's reader, as in any pipe


class Relay:
    """All output of one job; selector entries carry a function without arguments to call."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        """Write to this process's stdout and stderr; the selector must outlive this."""
        self._selector = selector
        self._sinks = {number: Sink(number, selector) for number in (_STDOUT, _STDERR)}
        self._streams: list[Stream] = []
        self._is_reading = True

    @property
    def backlog_bytes(self) -> int:
        """Bytes taken from the ranks that the launcher's reader has not taken yet."""
        return sum(sink.backlog_bytes for sink in self._sinks.values())

    @property
    def error(self) -> OSError | None:
        """Why the launcher's own output cannot be written, or None."""
        return next((sink.error for sink in self._sinks.values() if sink.error), None)

    def tell(self, text: str) -> None:
        """Print a line of the launcher itself on stderr."""
        self._sinks[_STDERR].write(f"[ringsyncrun] {text}\n".encode(errors="surrogateescape"))

    def attach(
        self, pipe: BinaryIO, descriptor: int, prefix: bytes | None, log: BinaryIO | None
    ) -> Stream:
        """Carry `pipe` to stdout (1) or stderr (2) from now on; the rest is `Stream`'s."""
        stream = Stream(pipe, self._sinks[descriptor], prefix, log)
        self._streams.append(stream)
        if self._is_reading:
            self._register(stream)
        return stream

    def throttle(self) -> None:
        """Stop reading while too much waits to be written; go on when it has gone."""
        is_clear = all(sink.backlog_bytes < _BACKLOG_BYTES for sink in self._sinks.values())
        if is_clear == self._is_reading:
            return
        self._is_reading = is_clear
        for stream in self._streams:
            if stream.is_open and is_clear:
                self._register(stream)
            elif stream.is_open:
                self._selector.unregister(stream.descriptor)

    def close_streams(self) -> None:
        """Take what is still in the pipes and close them; for when every writer has ended."""
        for stream in self._streams:
            if stream.is_open:
                if self._is_reading:
                    self._selector.unregister(stream.descriptor)
                stream.drain()
                stream.close()

    def _register(self, stream: Stream) -> None:
        on_output = partial(self._on_output, stream)
        self._selector.register(stream.descriptor, selectors.EVENT_READ, on_output)

    def _on_output(self, stream: Stream) -> None:
        if stream.is_open and stream.read_some() == 0:
            self._selector.unregister(stream.descriptor)
            stream.close()
