"""Remembers how a rank's stderr ended: its last lines, and the exception of its last traceback.

It reads what Python prints of an uncaught exception, so nothing has to be put into the rank.
"""

from __future__ import annotations

from collections import deque

_KEPT_LINES = 20
_KEPT_CHARACTERS = 500  # of each line: a whole report stays far below what one packet takes
_TRACEBACK = "Traceback (most recent call last):"


class Tail:
    """The end of one stream of lines.

    Attributes:
        exception: What the last complete traceback ended with, `package.Class: message`, or "".
    """

    def __init__(self) -> None:
        """Start with nothing read."""
        self.exception = ""
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._is_inside = False

    @property
    def lines(self) -> list[str]:
        """The last lines that were not blank, without their ends."""
        return list(self._lines)

    def add(self, line: bytes) -> None:
        """Read one line, whatever its end."""
        text = line[: 4 * _KEPT_CHARACTERS].decode(errors="replace").rstrip()[:_KEPT_CHARACTERS]
        if not text:
            return
        if text == _TRACEBACK:
            self._is_inside = True
        elif self._is_inside and not text[0].isspace():  # frames are indented
            self._is_inside = False
            self.exception = text
        self._lines.append(text)
