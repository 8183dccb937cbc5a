"""The completion of an asynchronous call, as the caller holds it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from numbers import Real
from typing import NamedTuple

from ringsync._native import Handle as NativeHandle
from ringsync.arrays import Array
from ringsync.errors import ConfigError, NotInitializedError, RingsyncError, TimedOutError
from ringsync.runtime import Runtime

# 30 years: an int beyond every float is as good.
_LONGEST_S = 1e9


class Times(NamedTuple):
    """When an operation passed each stage, in nanoseconds of CLOCK_MONOTONIC; 0: not reached."""

    submitted_ns: int
    started_ns: int
    agreed_ns: int
    done_ns: int


class Handle:
    """One operation in flight. Dropping it neither cancels nor frees anything early."""

    __slots__ = ("_finish", "_name", "_native", "_runtime")

    def __init__(
        self,
        native: NativeHandle,
        runtime: Runtime,
        name: str,
        finish: Callable[[NativeHandle], Array],
    ) -> None:
        """Wrap `native`.

        Args:
            native: The operation's completion below the door.
            runtime: Whose operation it is.
            name: The operation's name, for messages.
            finish: Makes the result once the operation is done.
        """
        self._native = native
        self._runtime = runtime
        self._name = name
        self._finish = finish

    def done(self) -> bool:
        """Tell whether the operation is complete, with a result or an error.

        Returns:
            True once complete; never blocks.
        """
        return self._native.done()

    def wait(self, timeout_s: float | None = None) -> None:
        """Block until the operation is complete.

        Args:
            timeout_s: Seconds from now; None waits as long as the operation itself may take.

        Raises:
            TimedOutError: Not complete within `timeout_s`; the operation goes on.
            MismatchError: Ranks disagree about the operation.
            PeerLostError: A rank that takes part is gone.
            ConfigError: `timeout_s` is below 0.
            NotInitializedError: This is a forked child; nobody here will complete it.
        """
        # Most are done by now, and a script waits for very many: the short way asks nothing else.
        if timeout_s is not None or self._runtime.is_inherited or not self._native.done():
            _wait_for([self._native], self._runtime, self._name, timeout_s)
        self._native.check()

    def result(self) -> Array:
        """Block until the operation is complete and return its result.

        Returns:
            The array that the blocking call of the same name would have returned.

        Raises:
            MismatchError: Ranks disagree about the operation.
            PeerLostError: A rank that takes part is gone.
            TimedOutError: The operation's own time was up.
        """
        self.wait()
        return self._finish(self._native)

    def times(self) -> Times:
        """Return when the operation passed each stage. Only once done.

        Returns:
            Submission, start, agreement and completion in nanoseconds.
        """
        return Times(*self._native.times())


class GroupedHandle:
    """Several operations that were submitted in one stroke."""

    __slots__ = ("_arrays", "_name", "_natives", "_runtime")

    def __init__(
        self, natives: list[NativeHandle], runtime: Runtime, name: str, arrays: list[Array]
    ) -> None:
        """Wrap `natives`.

        Args:
            natives: The operations' completions below the door.
            runtime: Whose operations they are.
            name: Their common name, for messages.
            arrays: What the operations leave their results in.
        """
        self._natives = natives
        self._runtime = runtime
        self._name = name
        self._arrays = arrays

    def done(self) -> bool:
        """Tell whether all operations are complete, with results or errors.

        Returns:
            True once all are; never blocks.
        """
        return all(native.done() for native in self._natives)

    def wait(self, timeout_s: float | None = None) -> None:
        """Block until all operations are complete, whatever becomes of single ones.

        Args:
            timeout_s: Seconds from now for all of them; None waits as long as they may take.

        Raises:
            TimedOutError: Not all complete within `timeout_s`; they go on.
            MismatchError: Ranks disagree about one of them; the first such error is raised.
            PeerLostError: A rank that takes part is gone.
            ConfigError: `timeout_s` is below 0.
            NotInitializedError: This is a forked child; nobody here will complete them.
        """
        _wait_for(self._natives, self._runtime, self._name, timeout_s)
        for native in self._natives:
            native.check()

    def result(self) -> list[Array]:
        """Block until all operations are complete and return their results.

        Returns:
            The arrays that the blocking call of the same name would have returned.

        Raises:
            MismatchError: Ranks disagree about one of the operations.
            PeerLostError: A rank that takes part is gone.
            TimedOutError: The operations' own time was up.
        """
        self.wait()
        return self._arrays


def wait_all(handles: Iterable[Handle]) -> None:
    """Block until every operation is complete, whatever becomes of single ones.

    Args:
        handles: Operations in flight.

    Raises:
        RingsyncError: The first failure, once none is in flight any more.
    """
    first: RingsyncError | None = None
    for handle in handles:
        try:
            handle.wait()
        except RingsyncError as error:
            first = first or error
    if first is not None:
        raise first


def _wait_for(
    natives: list[NativeHandle], runtime: Runtime, name: str, timeout_s: float | None
) -> None:
    if timeout_s is not None and not (isinstance(timeout_s, Real) and timeout_s >= 0):
        raise ConfigError(
            f"[wait] timeout_s={timeout_s!r}; seconds from 0 are expected. Leave it out to wait as "
            "long as the operation may take."
        )
    if runtime.is_inherited:
        raise NotInitializedError(
            f"[wait] '{name}' belongs to the process that forked this one. Wait there."
        )
    until = None if timeout_s is None else time.monotonic() + min(timeout_s, _LONGEST_S)
    for native in natives:
        if not native.wait(None if until is None else max(until - time.monotonic(), 0.0)):
            raise TimedOutError(
                f"[wait] '{name}' is not complete after {timeout_s} s; it goes on. Wait again, or "
                "see what the other ranks are doing."
            )
