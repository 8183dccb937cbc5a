"""Asynchronous calls by Horovod's integer handles; and blocking ones, which need none.

A call that cannot be started leaves nothing behind. What a handle's call works on is kept until it
is synchronized or ringsync is shut down.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ringsync.arrays import Array
from ringsync.collectives.call import PLAIN, Terms, run, run_all, start, start_all, told_as
from ringsync.errors import ConfigError, RingsyncError
from ringsync.group import ProcessGroup
from ringsync.handle import GroupedHandle, Handle
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
        name: Key under which ranks meet, or None; number i of a list is named `name.i`.
        group: Whose ranks take part; None: all.
        finish: Makes the caller's result of the collective's.
        terms: What else is asked for.
        is_scalar: A scalar was given where rows are expected.
        has_rows: `finish` wants the array of an alltoall and how many rows came from each rank.
    """

    place: str
    collective: int
    array: object
    name: str | None
    group: ProcessGroup | None
    finish: Callable[[Any], Any]
    terms: Terms = PLAIN
    is_scalar: bool = False
    has_rows: bool = False

    def arguments(self) -> tuple[object, ...]:
        """List what `run`, `start` and their like take.

        Returns:
            Their arguments, in order.
        """
        return (
            self.place, self.collective, self.array, self.name, None, self.terms, self.group
        )  # fmt: skip


class _WithRows:
    """An alltoall that also tells how many rows came from each rank."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def done(self) -> bool:
        return self._handle.done()

    def result(self) -> tuple[Array, list[int]]:
        return self._handle.result(), self._handle.rows_from()


# What may be in flight once: a name among the ranks of a group, or among all.
_Key: TypeAlias = tuple[ProcessGroup | None, str]


@dataclass(frozen=True, slots=True)
class _Pending:
    place: str
    handle: Handle | GroupedHandle | _WithRows
    finish: Callable[[Any], Any]
    key: _Key | None
    is_scalar: bool


# Horovod's handles are numbers of the process, so what they stand for has to be kept for it.
_pending: dict[int, _Pending] = {}
# A name is taken until its handle has been synchronized, or has been seen to be done: how fast a
# call completes must not decide whether a second one of its name is an error.
_taken: dict[_Key, _Pending] = {}
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
    # What a scalar's own rank refuses is told from what all ranks find out.
    if call.is_scalar or call.has_rows:
        return _waited_for(begin(call))
    _check_key(call)
    perform_now: Callable[..., Any] = run_all if isinstance(call.array, list) else run
    with told_to_horovod(), told_as(call.place):
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
    key = _check_key(call)
    start_now: Callable[..., Any] = start_all if isinstance(call.array, list) else start
    with told_to_horovod():
        handle = start_now(*call.arguments())
    if call.has_rows:
        handle = _WithRows(handle)
    return _kept(_Pending(call.place, handle, call.finish, key, call.is_scalar))


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
    """Wait for an asynchronous call; the handle is gone then, unless Ctrl-C has ended the wait.

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
        with (
            told_to_horovod(is_scalar=pending.is_scalar),
            told_as(pending.place, ConfigError),
        ):
            result = pending.handle.result()
    except RingsyncError:
        _forget(handle, pending)
        raise
    _forget(handle, pending)
    return pending.finish(result)


def forget_all() -> None:
    """Forget what was not synchronized, for a new world."""
    _pending.clear()
    _taken.clear()


def _waited_for(handle: int) -> Any:
    try:
        return synchronize(handle)
    except BaseException:  # after Ctrl-C nobody could wait for it again
        if handle in _pending:
            _forget(handle, _pending[handle])
        raise


def _check_key(call: Call) -> _Key | None:
    if call.name is None:
        return None
    key = call.group, call.name
    if key in _taken:
        raise ValueError(_DUPLICATE.format(name=call.name))
    return key


def _kept(pending: _Pending) -> int:
    if pending.key is not None:
        _taken[pending.key] = pending
    number = next(_numbers)
    _pending[number] = pending
    return number


def _forget(handle: int, pending: _Pending) -> None:
    _pending.pop(handle, None)
    _free(pending)


def _free(pending: _Pending) -> None:
    if pending.key is not None and _taken.get(pending.key) is pending:  # no later call of this name
        del _taken[pending.key]
