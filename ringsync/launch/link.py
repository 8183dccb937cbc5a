"""What the launcher and a rank's guard tell each other: packets over one pair of sockets.

Orders go down and reports come up; neither is acted upon here.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

# A report is bounded by tail.py, below this even with 12 bytes of JSON for each character; sockets
# take more than this unless an administrator has lowered net.core.wmem_default.
_PACKET_BYTES = 128 * 1024
_DESCRIPTORS = 1
_TOO_MUCH = "(not reported: net.core.wmem_default is too small for these lines)"


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
        """Send one message.

        An end that is gone, or so long stopped that its queue is full, misses it; whoever needs an
        answer has a deadline for it. Lines of stderr stay behind where they are too much.

        Args:
            message: What to send.

        Raises:
            OSError: The system cannot send it.
        """
        try:
            self._send(message)
        except (ConnectionError, BlockingIOError):
            return
        except OSError as error:
            if error.errno != errno.EMSGSIZE or not message.facts.get("stderr"):
                raise
            self.send(message._replace(facts={**message.facts, "stderr": [_TOO_MUCH]}))

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
                # The other end has closed with something unread; said once, before what it had
                # sent until then.
                continue
            if not packet:
                self.is_open = False
                return
            facts = json.loads(packet)
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)
            yield Message(facts.pop("kind"), facts, descriptors[0] if descriptors else None)

    def _send(self, message: Message) -> None:
        packet = json.dumps({"kind": message.kind, **message.facts}).encode()
        descriptors = [] if message.descriptor is None else [message.descriptor]
        socket.send_fds(self._socket, [packet], descriptors)


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
