"""Asynchronous calls by Horovod's integer handles; and blocking ones, which need none.

A call that cannot be started leaves nothing behind. What a handle's call works on is kept until it
is synchronized or ringsync is shut down.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ringsync.collectives.call import PLAIN, Terms, run, run_all, start, start_all
from ringsync.group import ProcessGroup
from ringsync.handle import wait_all
from ringsync.torch.errors import told_to_horovod

_DUPLICATE = (
    "Requested to allreduce, allgather, or broadcast a tensor with the same name as another tensor "
    "that is currently being processed.  If you want to request another tensor, use a different "
    "tensor name. The name is {name!r}."
)


@dataclass(frozen=True, slots=True)
class Call:
    """One collective that is asked for.

    Attributes:
        place: The public function's name, for messages.
        collective: Which, of `Collective`.
        array: What moves, as the door takes it; a list of such for several in one stroke.
        name: Key under which ranks meet, or None.
        group: Whose ranks take part; None: all.
        finish: Makes the caller's result of the collective's.
        terms: What else is asked for.
    """

    place: str
    collective: int
    array: object
    name: str | None
    group: ProcessGroup | None
    finish: Callable[[Any], Any]
    terms: Terms = PLAIN

    def arguments(self) -> tuple[object, ...]:
        """List what `run`, `start` and their like take.

        Returns:
            Their arguments, in order.
        """
        return (
            self.place, self.collective, self.array, self.name, None, self.terms, self.group
        )  # fmt: skip


class _Completion(Protocol):
    """What a handle stands for."""

    def done(self) -> bool:
        """Complete, with a result or an error."""

    def result(self) -> Any:
        """Wait for the result."""


@dataclass(frozen=True, slots=True)
class _Pending:
    handle: _Completion
    finish: Callable[[Any], Any]
    key: tuple[int, str] | None


# Horovod's handles are numbers of the process, so what they stand for has to be kept for it.
_pending: dict[int, _Pending] = {}
# A name is taken until its handle has been synchronized, or has been seen to be done: how fast a
# call completes must not decide whether a second one of its name is an error.
_taken: set[tuple[int, str]] = set()
_numbers = itertools.count(1)


def perform(call: Call) -> Any:
    """Perform a call on this thread.

    Args:
        call: What is asked for.

    Returns:
        Its result.

    Raises:
        ValueError: It cannot be done, or a call of its name is in flight.
        HorovodInternalError: It failed.
    """
    _key_of(call)
    perform_now: Callable[..., Any] = run_all if isinstance(call.array, list) else run
    with told_to_horovod():
        result = perform_now(*call.arguments())
    return call.finish(result)


def begin(call: Call) -> int:
    """Start a call.

    Args:
        call: What is asked for.

    Returns:
        Its handle.

    Raises:
        ValueError: It cannot be done, or a call of its name is in flight.
        HorovodInternalError: There is no engine.
    """
    key = _key_of(call)
    start_now: Callable[..., Any] = start_all if isinstance(call.array, list) else start
    with told_to_horovod():
        handle: _Completion = start_now(*call.arguments())
    if key is not None:
        _taken.add(key)
    number = next(_numbers)
    _pending[number] = _Pending(handle, call.finish, key)
    return number


def begin_all(calls: Sequence[Call]) -> int:
    """Start several calls under one handle.

    Args:
        calls: What is asked for.

    Returns:
        The handle; its result is the list of theirs.

    Raises:
        ValueError: One cannot be done, or a call of its name is in flight. Those before it go on,
            and are waited for.
        HorovodInternalError: There is no engine.
    """
    begun: list[int] = []
    try:
        begun.extend(map(begin, calls))
    except BaseException:
        for number in begun:
            _free(_pending.pop(number))
        raise
    parts = [_pending.pop(number) for number in begun]
    number = next(_numbers)
    _pending[number] = _Pending(_Together(parts), list, None)
    return number


class _Together:
    """Several calls as one."""

    def __init__(self, parts: list[_Pending]) -> None:
        self._parts = parts

    def done(self) -> bool:
        return all(part.handle.done() for part in self._parts)

    def result(self) -> list[Any]:
        try:
            wait_all([part.handle for part in self._parts])  # type: ignore[misc]  # native ones
            return [part.finish(part.handle.result()) for part in self._parts]
        finally:
            for part in self._parts:
                _free(part)


def poll(handle: int) -> bool:
    """Tell whether an asynchronous call is complete.

    Args:
        handle: Of the call.

    Returns:
        True if `synchronize` will not block.

    Raises:
        ValueError: There is no such handle.
    """
    pending = _pending.get(handle)
    if pending is None:
        raise ValueError(f"Handle {handle} was not created or has been cleared.")
    if not pending.handle.done():
        return False
    _free(pending)
    return True


def synchronize(handle: int) -> Any:
    """Wait for an asynchronous call; the handle is gone then.

    Args:
        handle: Of the call.

    Returns:
        Its result: a tensor, or what the call's own documentation says. None for a handle that is
        not known.

    Raises:
        HorovodInternalError: The call failed; on every rank, where ranks disagree.
    """
    pending = _pending.get(handle)
    if pending is None:
        return None
    try:
        with told_to_horovod():
            result = pending.handle.result()
    finally:
        # Also where Ctrl-C ends the wait: the engine itself keeps what it works on.
        _pending.pop(handle, None)
        _free(pending)
    return pending.finish(result)


def forget_all() -> None:
    """Forget what was not synchronized, for a new world."""
    _pending.clear()
    _taken.clear()


def _key_of(call: Call) -> tuple[int, str] | None:
    if call.name is None:
        return None
    key = (0 if call.group is None else id(call.group), call.name)
    if key in _taken:
        raise ValueError(_DUPLICATE.format(name=call.name))
    return key


def _free(pending: _Pending) -> None:
    if pending.key is not None:
        _taken.discard(pending.key)
