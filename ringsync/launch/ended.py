"""Notes of ranks that have ended, for those that still meet; native/rendezvous/ended.cc reads them.

When a rank has ended, and how, is for whoever watches it to say.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

# The store's socket is named in native/rendezvous/meeting.cc, and the note in ended.cc as well.
_SOCKET = "store"
_NOTE = "store.ended.{rank}-of-{size}"


def note_ended(path: Path, rank: int, size: int) -> None:
    """Let ranks that still meet in `path` know that one of them has ended and will never come.

    Where all have met, and where none meets, nobody looks, and nothing follows from it.

    Args:
        path: The job's directory.
        rank: Whose process has ended, with code 0.
        size: Number of ranks.
    """
    # All have met and the directory is gone; or there is no room, and those that wait have a limit.
    with contextlib.suppress(OSError):
        (path / _NOTE.format(rank=rank, size=size)).touch()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as knock:
            knock.setblocking(False)
            knock.connect(str(path / _SOCKET))  # without a word: rank 0 wakes and looks
