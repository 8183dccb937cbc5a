"""The raw output of a rank in a file, as far as there is room for it.

A disk that is full is told of and ends no job. What the output is, is not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, cast


class Log:
    """A file that takes bytes until it takes no more."""

    def __init__(self, file: BinaryIO, tell: Callable[[str], None]) -> None:
        """Take over `file`.

        Args:
            file: Unbuffered.
            tell: Says one line to people.
        """
        self._file: BinaryIO | None = file
        self._tell = tell
        self._written_bytes = 0

    def write(self, data: bytes) -> None:
        """Add `data`; after the first byte that is lost do nothing."""
        if self._file is None:
            return
        rest = memoryview(data)
        try:
            while rest:  # where the room ends a write takes a part, and only the next one fails
                written = self._file.write(rest)
                self._written_bytes += written
                rest = rest[written:]
        except OSError as error:
            self._end(error)

    def close(self) -> None:
        """End the file; a second call does nothing."""
        self._end(None)

    def _end(self, error: OSError | None) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
        except OSError as late:  # where bytes are sent on later, as with NFS, room ends only here
            error = error or late
        if error is not None:
            self._tell(
                f"the log {file.name} is cut here, after {self._written_bytes} bytes: "
                f"{error.strerror}. The job goes on; for a whole log run it again with a "
                "directory that has room."
            )


def open_log(directory: str, name: str, tell: Callable[[str], None]) -> Log | None:
    """Open a log, emptied.

    Args:
        directory: Where; "" for no log.
        name: Of the file.
        tell: As for `Log`.

    Returns:
        The log, if there is to be one.

    Raises:
        OSError: There can be none.
    """
    if not directory:
        return None
    # Not through pathlib: to import it takes a guard longer than all that it does.
    return Log(cast(BinaryIO, open(f"{directory}/{name}", "wb", buffering=0)), tell)  # noqa: PTH123
