"""What is told of an exception that a rank's function raised, and how it is raised in the caller.

An exception keeps neither its traceback nor its cause when it is pickled, so both travel as text.
"""

from __future__ import annotations

import io
import pickle
import traceback
from dataclasses import dataclass
from typing import BinaryIO

from ringsync.errors import PeerLostError, RingsyncError
from ringsync.jobs.pickling import dump
from ringsync.words import error_in_line, kind_of


class RankTraceback(Exception):  # noqa: N818 - never raised, only shown as a cause
    """Traceback of a rank, shown above the exception that it led to."""

    def __str__(self) -> str:
        """Begin on a line of its own, as the frames do that stand below."""
        return f"\n{self.args[0]}"


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception of a rank.

    Attributes:
        summary: Its type and message, in one line.
        traceback: Its traceback with all causes.
        exception: The exception, pickled; None if that is not possible.
        reason: Why not.
        lost_rank: The rank whose loss it reports; -1 if it reports none.
    """

    summary: str
    traceback: str
    exception: bytes | None
    reason: str
    lost_rank: int


def write_failure(error: BaseException, file: BinaryIO, caller: str) -> None:
    """Describe `error`, which the function of this rank has raised.

    Args:
        error: The exception.
        file: Where to.
        caller: The module that called the function, whose frames tell nothing.
    """
    exception, reason = _pickle(error)
    # The first frames are those of whoever called the function.
    frames = error.__traceback__
    while frames is not None and frames.tb_next and frames.tb_frame.f_globals["__name__"] == caller:
        frames = frames.tb_next
    failure = Failure(
        summary=error_in_line(error),
        traceback="".join(traceback.format_exception(type(error), error, frames)),
        exception=exception,
        reason=reason,
        lost_rank=error.rank if isinstance(error, PeerLostError) else -1,
    )
    pickle.dump(failure, file)


def read_failure(file: BinaryIO) -> Failure:
    """Read what `write_failure` wrote.

    Args:
        file: What was written.

    Returns:
        The description.
    """
    failure: Failure = pickle.load(file)
    return failure


def exception_of(failure: Failure, who: str) -> BaseException:
    """Make the exception to raise in the caller.

    Args:
        failure: What a rank has told.
        who: The rank and its process.

    Returns:
        The rank's own exception, or one in its place if it cannot be pickled; the rank's traceback
        is its cause.
    """
    error, reason = None, failure.reason
    if failure.exception is not None:
        try:
            error = pickle.loads(failure.exception)
        except Exception as refusal:  # making an exception again runs code of its own
            reason = error_in_line(refusal)
    if error is None:
        error = RingsyncError(
            f"[run] {who} raised {failure.summary}. The exception cannot be pickled ({reason}), so "
            "this one stands for it; the rank's traceback is above."
        )
    else:
        error.add_note(f"[run] raised by {who}")
    error.__cause__ = RankTraceback(failure.traceback)
    return error


def _pickle(error: BaseException) -> tuple[bytes | None, str]:
    """Pickle an exception and try whether it can be made again: many take other arguments."""
    file = io.BytesIO()
    try:
        dump(error, file)
        again = pickle.loads(file.getvalue())
    except Exception as refusal:  # objects decide themselves what their pickling raises
        return None, error_in_line(refusal)
    if not isinstance(again, BaseException):
        return None, f"it becomes {kind_of(again)}"
    return file.getvalue(), ""
