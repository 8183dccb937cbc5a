"""Writes to a stream whose reader may pause, without ever waiting for that reader.

What is written, and whether anybody still waits for it, is not known here.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors

# A pipe that is ready takes this much at once (PIPE_BUF on Linux), unless another descriptor of
# the same pipe has filled it since.
_WRITE_BYTES = 4096
LAUNCHER = "[ringsyncrun]"


class Sink:
    """One of the launcher's own output streams, written only when it can take bytes.

    A reader that has paused (a pager, a stopped terminal) must not make the launcher deaf to
    deaths and signals, hence the queue; files and devices without readiness are written at once.
    What waits is written through a description of our own: to be told that a stream is ready does
    not mean that it takes all (stdout and stderr may be one pipe, a terminal has some bytes of
    room), and to make the one that we were given non-blocking would make it so for others.

    Attributes:
        error: Why nothing more can be written, or None.
    """

    def __init__(
        self, descriptor: int, selector: selectors.BaseSelector, speaker: str = LAUNCHER
    ) -> None:
        """Find out whether `descriptor` can be waited for.

        Args:
            descriptor: Of the stream.
            selector: Of the owner; must outlive this.
            speaker: Put before what the owner tells itself.
        """
        self._speaker = speaker
        self.error: OSError | None = None
        self._descriptor = descriptor
        self._selector = selector
        self._pending = bytearray()
        self._own = -1  # a non-blocking description of the same stream
        try:
            selector.register(descriptor, selectors.EVENT_WRITE)
            selector.unregister(descriptor)
            self._is_queued = True
        except PermissionError:  # of epoll, for files: they are always ready
            self._is_queued = False
        if self._is_queued:
            # A socket, another user's terminal or a pipe without reader cannot be opened again.
            with contextlib.suppress(OSError):
                own = f"/proc/self/fd/{descriptor}"
                self._own = os.open(own, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
                self._descriptor = self._own

    @property
    def backlog_bytes(self) -> int:
        """Bytes accepted and not written yet."""
        return len(self._pending)

    def write(self, data: bytes) -> None:
        """Accept `data`, in order; returns at once for pipes and terminals."""
        if self.error is not None or not data:
            return
        if self._is_queued and not self._pending:
            self._selector.register(self._descriptor, selectors.EVENT_WRITE, self._write_some)
        self._pending += data
        while not self._is_queued and self._pending:
            self._write_some()

    def tell(self, text: str) -> None:
        """Write a line of the owner itself."""
        self.write(f"{self._speaker} {text}\n".encode(errors="surrogateescape"))

    def close(self) -> None:
        """Let go of the stream; what waits is lost."""
        if self._pending and self._is_queued:
            self._selector.unregister(self._descriptor)
        self._pending.clear()
        if self._own >= 0:
            os.close(self._own)
            self._own = -1

    def _write_some(self) -> None:
        if self._is_queued and self._own < 0 and not _is_ready(self._descriptor):
            return
        try:
            written = os.write(self._descriptor, self._pending[:_WRITE_BYTES])
        except BlockingIOError:  # another descriptor of the same stream has taken the room
            return
        except OSError as error:
            self.error = error
            written = len(self._pending)
        del self._pending[:written]
        if self._is_queued and not self._pending:
            self._selector.unregister(self._descriptor)


def _is_ready(descriptor: int) -> bool:
    """Whether a write would not block, at this very moment."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))
