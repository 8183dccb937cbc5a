"""The completion of an asynchronous call, as the caller holds it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from numbers import Real
from typing import NamedTuple, cast

from ringsync._native import Handle as NativeHandle
from ringsync.arrays import Array
from ringsync.device_arrays import stream_of
from ringsync.errors import ConfigError, RingsyncError, TimedOutError
from ringsync.seconds import LONGEST_S
from ringsync.words import in_line


class Times(NamedTuple):
    """When an operation passed each stage, in nanoseconds of CLOCK_MONOTONIC; 0: not reached."""

    submitted_ns: int
    started_ns: int
    agreed_ns: int
    done_ns: int


class Pending(NativeHandle):
    """A call in flight. Dropping it neither cancels nor frees anything early."""

    __slots__ = ()

    def done(self) -> bool:
        """Tell whether the call is complete, with a result or an error.

        Returns:
            True once complete; never blocks.
        """
        return self._is_done()

    def wait(self, timeout_s: float | None = None, *, stream: object = None) -> None:
        """Block until the call is complete; of a group, whatever becomes of single operations.

        With a stream it does not wait for what devices have left to do, but for all ranks to have
        made the call and for the device to have been given it: what the stream is given from then
        on comes behind the call's work. If that fails afterwards, values are unspecified, and the
        next call of any kind raises the error, as `wait()` without a stream does.

        Args:
            timeout_s: Seconds from now; None waits as long as the call itself may take.
            stream: Of the arrays' device: a stream of CuPy's or PyTorch's, what else has
                `__cuda_stream__`, or its address; 0 is the default stream. None: waits for all.

        Raises:
            TimedOutError: Not complete within `timeout_s`; the call goes on.
            MismatchError: Ranks disagree about it; of a group, the first error is raised.
            PeerLostError: A rank that takes part is gone.
            ConfigError: `timeout_s` is below 0, or `stream` is none.
            NotInitializedError: This is a forked child; nobody here will complete what was in
                flight.
        """
        seconds = None if timeout_s is None else _checked_seconds(timeout_s)
        is_over = (
            self._wait(seconds) if stream is None else self._wait_on(stream_of(stream), seconds)
        )
        if not is_over:
            raise TimedOutError(
                f"[wait] {self._title()} is not complete after {timeout_s} s; it goes on. "
                "Wait again, or see what the other ranks are doing."
            )


class Handle(Pending):
    """One operation in flight."""

    __slots__ = ()

    def result(self, *, stream: object = None) -> Array:
        """Block until the call is complete and return its result.

        Args:
            stream: As for `wait`: what uses the result is given to it, and to no other.

        Returns:
            The array that the blocking call of the same name would have returned.

        Raises:
            MismatchError: Ranks disagree about the call.
            PeerLostError: A rank that takes part is gone.
            TimedOutError: The call's own time was up.
        """
        self.wait(stream=stream)
        return cast(Array, self._result())

    def rows_from(self) -> list[int]:
        """Tell how many rows of an alltoall's result came from each rank. Only once done.

        Returns:
            A number for each rank of its group; none of another call, or of one that failed.

        Raises:
            ConfigError: The call is not done yet.
        """
        return self._rows_from()

    def times(self) -> Times:
        """Return when the call passed each stage. Only once done.

        Returns:
            Submission, start, agreement and completion in nanoseconds.

        Raises:
            ConfigError: The call is not done yet.
        """
        return Times(*self._times())


class GroupedHandle(Pending):
    """Several operations that were submitted in one stroke."""

    __slots__ = ()

    def result(self, *, stream: object = None) -> list[Array]:
        """Block until all operations are complete and return their results.

        Args:
            stream: As for `wait`: what uses the results is given to it.

        Returns:
            The arrays that the blocking call of the same name would have returned.

        Raises:
            MismatchError: Ranks disagree about one of the operations.
            PeerLostError: A rank that takes part is gone.
            TimedOutError: The operations' own time was up.
        """
        self.wait(stream=stream)
        return cast(list[Array], self._result())


def wait_all(handles: Iterable[Handle], streams: Iterable[object] = repeat(None)) -> None:
    """Block until every operation is complete, whatever becomes of single ones.

    Args:
        handles: Operations in flight.
        streams: For each of them, as for `Handle.wait`.

    Raises:
        RingsyncError: The first failure, once all have been waited for.
    """
    first: RingsyncError | None = None
    for handle, stream in zip(handles, streams, strict=False):  # None for ever
        try:
            handle.wait(stream=stream)
        except RingsyncError as error:
            first = first or error
    if first is not None:
        raise first


def _checked_seconds(timeout_s: float) -> float:
    if isinstance(timeout_s, Real) and timeout_s >= 0:
        return float(min(timeout_s, LONGEST_S))
    raise ConfigError(
        f"[wait] timeout_s={in_line(timeout_s)}; seconds from 0 are expected. Leave it out to wait "
        "as long as the operation may take."
    )
