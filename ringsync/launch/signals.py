"""Turns signals into bytes of a pipe, so that one selector waits for them and for all else.

It only notes which signals came; what they mean is decided where it is used.
"""

from __future__ import annotations

import os
import signal
from types import TracebackType
from typing import Any

_READ_BYTES = 4096  # one byte per signal
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Ctrl-\\ on a terminal, and what batch systems send; both would end a process that heeds neither.
ASK_FOR_STACKS = (signal.SIGQUIT, signal.SIGUSR1)


class SignalInbox:
    """Takes signals from `with` on until its end; the main thread's, since Python asks for that."""

    def __init__(self, *more: int) -> None:
        """Note SIGINT, SIGTERM, SIGHUP and `more`.

        What the caller ignores stays ignored, since `nohup` and `command &` rely on it; all but
        SIGCHLD, without which no child could be waited for.
        """
        self._numbers = [
            number
            for number in (*_ENDING, *more)
            if number == signal.SIGCHLD or signal.getsignal(number) != signal.SIG_IGN
        ]
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> SignalInbox:
        """Begin."""
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._outer = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in self._numbers:
            self._previous[number] = signal.signal(number, _note)
        # Whoever started this process may have held them back until now.
        self._mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, self._numbers)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put everything back as it was."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        signal.set_wakeup_fd(self._outer)
        os.close(self._reader)
        os.close(self._writer)

    def fileno(self) -> int:
        """The pipe's number, for the selector; readable once a signal has come."""
        return self._reader

    def take(self) -> bytes:
        """Say which signals came since the last time, in order, one byte each."""
        try:
            return os.read(self._reader, _READ_BYTES)
        except BlockingIOError:
            return b""


def _note(*_: object) -> None:
    """The number arrives through the pipe; a handler is needed for that, and for nothing else."""
