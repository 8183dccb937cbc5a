"""Remembers how a rank's stderr ended: its last lines, and the exception of its last traceback.

It reads what Python prints of an uncaught exception, so nothing has to be put into the rank.
"""

from __future__ import annotations

import re
from collections import deque

_KEPT_LINES = 20
_KEPT_CHARACTERS = 500  # of each line: a whole report stays far below what one packet takes
_READ_BYTES = 8 * _KEPT_CHARACTERS  # four a character, and as much again for colours
_TRACEBACK = "Traceback (most recent call last):"
_GROUP_TRACEBACK = "  + Exception Group Traceback (most recent call last):"
_GROUP_MARGIN = "  | "
# Above a traceback: what follows has ended nothing, as it came from a finalizer or a thread.
_HARMLESS = ("Exception ignored in", "Exception in thread")
# What may follow an exception that ends the program: a line of ringsync or its launcher, and
# warnings, of the resource tracker above all. Anything else shows that the program went on.
_LAST_REMARK = re.compile(r"\[\w+\] |\S+:\d+: \w*Warning: ")
_COLOURS = re.compile(rb"\x1b\[[0-9;]*m")  # Python 3.13 paints tracebacks


class Tail:
    """The end of one stream of lines.

    Attributes:
        exception: What the last complete traceback ended with, `package.Class: message`, or "".
        is_final: Whether nothing followed that traceback, so that its exception may well be what
            has ended the program; a message of several lines passes for more.
    """

    def __init__(self) -> None:
        """Start with nothing read."""
        self.exception = ""
        self.is_final = False
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._margin: str | None = None  # before a traceback's lines while inside of one
        self._is_harmless = False  # the traceback, or the line above where one is due

    @property
    def lines(self) -> list[str]:
        """The last lines that were not blank, without their ends."""
        return list(self._lines)

    def add(self, line: bytes) -> None:
        """Read one line, whatever its end."""
        data = _COLOURS.sub(b"", line[:_READ_BYTES])
        text = data.decode(errors="replace").rstrip()[:_KEPT_CHARACTERS]
        if not text:
            return
        self._lines.append(text)
        if text in (_TRACEBACK, _GROUP_TRACEBACK):
            self._margin = "" if text == _TRACEBACK else _GROUP_MARGIN
        elif self._margin is not None:
            self._read_traceback(text.removeprefix(self._margin))
        elif text.startswith(_HARMLESS):
            self._is_harmless = True
        elif self._is_harmless:  # of a finalizer without a traceback, when the interpreter ends
            self._is_harmless = False
        elif not text[0].isspace() and not _LAST_REMARK.match(text):
            self.is_final = False

    def _read_traceback(self, text: str) -> None:
        if not text or text[0].isspace():  # frames are indented
            return
        self._margin = None
        if not self._is_harmless:
            self.exception, self.is_final = text, True
        self._is_harmless = False
