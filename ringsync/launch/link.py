"""What the launcher and a rank's guard tell each other: packets over one pair of sockets.

Orders go down and reports come up; neither is acted upon here.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

_PACKET_BYTES = 128 * 1024  # a report is bounded by tail.py, far below; sockets take twice this
_DESCRIPTORS = 1


class Link:
    """One end of the connection between launcher and guard; never blocks.

    Attributes:
        is_open: Whether the other end was there when it was last looked at.
    """

    def __init__(self, end: socket.socket) -> None:
        """Take over one end of a pair of SOCK_SEQPACKET."""
        end.setblocking(False)
        end.set_inheritable(False)  # a rank that had it would hide the guard's end
        self._socket = end
        self.is_open = True

    def fileno(self) -> int:
        """The socket's number, for the selector."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end, which the other one sees."""
        self.is_open = False
        self._socket.close()

    def send(self, message: Message) -> None:
        """Send one message; an end that is gone, or takes nothing any more, misses it."""
        packet = json.dumps({"kind": message.kind, **message.facts}).encode()
        descriptors = [] if message.descriptor is None else [message.descriptor]
        with contextlib.suppress(OSError):
            socket.send_fds(self._socket, [packet], descriptors)

    def receive(self) -> Iterator[Message]:
        """Yield what has come; after the last message of a closed end `is_open` is False."""
        while self.is_open:
            try:
                packet, descriptors, _, _ = socket.recv_fds(
                    self._socket, _PACKET_BYTES, _DESCRIPTORS
                )
            except BlockingIOError:
                return
            except ConnectionError:
                packet, descriptors = b"", []
            if not packet:
                self.is_open = False
                return
            facts = json.loads(packet)
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)
            yield Message(facts.pop("kind"), facts, descriptors[0] if descriptors else None)


class Message(NamedTuple):
    """One message.

    Attributes:
        kind: An order (`end`, `kill`, `stacks`) or a report (`started`, `unstarted`, `ended`,
            `over`).
        facts: What belongs to it, for JSON.
        descriptor: Handed over beside it; the receiver owns its copy.
    """

    kind: str
    facts: dict[str, Any]
    descriptor: int | None = None


def link_pair() -> tuple[Link, socket.socket]:
    """Make the launcher's end, and the one that its guard inherits."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Link(mine), theirs
