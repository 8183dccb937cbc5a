"""Every exception that ringsync raises; one class per kind of failure, facts as fields.

The native core raises exactly these classes. Messages follow one form:
`[place] what happened, actual values; what was expected; who. What to do next.`
"""

from __future__ import annotations


class RingsyncError(Exception):
    """Base of every error that ringsync raises on purpose."""


class NotInitializedError(RingsyncError):
    """A call that needs the engine came before `init()` or after `shutdown()`."""


class MismatchError(RingsyncError, ValueError):
    """Ranks disagree on what they asked for, or one rank asked for something impossible."""


class DuplicateNameError(RingsyncError, ValueError):
    """A name was submitted again while the operation of that name is still in flight."""


class ConfigError(RingsyncError, ValueError):
    """A setting, environment variable or argument cannot be used as given."""


class RendezvousError(RingsyncError):
    """The ranks of a job could not find one another."""


class AuthenticationError(RingsyncError):
    """A peer could not prove that it belongs to this job."""


class TimedOutError(RingsyncError, TimeoutError):
    """An operation did not complete in time.

    Attributes:
        missing: Ranks that had not taken part when the time ran out.
    """

    def __init__(self, message: str, missing: tuple[int, ...] = ()) -> None:
        """Keep `missing` beside the message."""
        super().__init__(message)
        self.missing = missing


class StallError(TimedOutError):
    """Nothing has moved for as long as RINGSYNC_STALL_ABORT_S allows."""


class PeerLostError(RingsyncError):
    """A rank died or left while others still needed it.

    Attributes:
        rank: The lost rank, or -1 when it is not known.
        host: Its host, or "" when it is not known.
        pid: Its process id, or -1 when it is not known.
        cause: What was seen of its end.
        tensor: Name of the operation that was in flight, or "".
    """

    def __init__(
        self,
        message: str,
        rank: int = -1,
        host: str = "",
        pid: int = -1,
        cause: str = "",
        tensor: str = "",
    ) -> None:
        """Keep the facts beside the message."""
        super().__init__(message)
        self.rank = rank
        self.host = host
        self.pid = pid
        self.cause = cause
        self.tensor = tensor
