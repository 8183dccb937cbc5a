"""Joins streams of output to this process's own two, at the pace of whoever reads those.

A guard joins its rank's, the launcher its guards'. It owns what output.py provides and registers it
with its owner's selector; the owner calls `throttle` after each turn.
"""

from __future__ import annotations

import selectors
from functools import partial

from ringsync.launch.output import Stream
from ringsync.launch.sink import LAUNCHER, Sink

_STDOUT, _STDERR = 1, 2
_BACKLOG_BYTES = 1024 * 1024  # past it the writers wait for our reader, as in any pipe


class Relay:
    """All output of one process; selector entries carry a function without arguments to call.

    Attributes:
        stdout: Where streams go that belong on stdout.
        stderr: Likewise.
    """

    def __init__(self, selector: selectors.BaseSelector, speaker: str = LAUNCHER) -> None:
        """Write to this process's stdout and stderr; the selector must outlive this.

        Args:
            selector: Of the owner, who calls what an entry carries when it is ready.
            speaker: Put before what the owner tells itself.
        """
        self._selector = selector
        self.stdout = Sink(_STDOUT, selector, speaker)
        self.stderr = Sink(_STDERR, selector, speaker)
        self._sinks = (self.stdout, self.stderr)
        self._streams: list[Stream] = []
        self._is_reading = True

    @property
    def backlog_bytes(self) -> int:
        """Bytes taken from the streams that our reader has not taken yet."""
        return sum(sink.backlog_bytes for sink in self._sinks)

    @property
    def error(self) -> OSError | None:
        """Why our own output cannot be written, or None."""
        return next((sink.error for sink in self._sinks if sink.error), None)

    def tell(self, text: str) -> None:
        """Print a line of the owner itself on stderr."""
        self.stderr.tell(text)

    def attach(self, stream: Stream) -> None:
        """Carry `stream` from now on, to the sink that it was made with."""
        self._streams.append(stream)
        if self._is_reading:
            self._register(stream)

    def throttle(self) -> None:
        """Stop reading while too much waits to be written; go on when it has gone."""
        is_clear = all(sink.backlog_bytes < _BACKLOG_BYTES for sink in self._sinks)
        if is_clear == self._is_reading:
            return
        self._is_reading = is_clear
        for stream in self._streams:
            if stream.is_open and is_clear:
                self._register(stream)
            elif stream.is_open:
                self._selector.unregister(stream.descriptor)

    def drain(self) -> None:
        """Take what is in the pipes at this moment."""
        for stream in self._streams:
            stream.drain()

    def close_streams(self) -> None:
        """Take what is still in the pipes and close them; for when every writer has ended."""
        for stream in self._streams:
            if stream.is_open:
                if self._is_reading:
                    self._selector.unregister(stream.descriptor)
                stream.drain()
                stream.close()

    def close(self) -> None:
        """Let go of stdout and stderr; for when all is written, or nobody waits for it."""
        for sink in self._sinks:
            sink.close()

    def _register(self, stream: Stream) -> None:
        on_output = partial(self._on_output, stream)
        self._selector.register(stream.descriptor, selectors.EVENT_READ, on_output)

    def _on_output(self, stream: Stream) -> None:
        if stream.is_open and stream.read_some() == 0:
            self._selector.unregister(stream.descriptor)
            stream.close()
