"""Whether operations are being recorded here and now, and in which order they ran.

Not a tape: what is recorded lives with the tensors. Both facts belong to a thread or task, not to
the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_IS_RECORDING: ContextVar[bool] = ContextVar("is_recording", default=True)
_LAST_ORDER: ContextVar[int] = ContextVar("last_order", default=0)


def is_recording() -> bool:
    """Say whether operations on tensors are recorded for a backward pass.

    Returns:
        False inside `no_grad()`, otherwise True.
    """
    return _IS_RECORDING.get()


@contextmanager
def no_grad() -> Iterator[None]:
    """Compute without recording: no gradients, and no memory kept for them.

    Also usable as a decorator. Holds for the current thread or task only.

    Yields:
        Nothing.

    Example:
        >>> with no_grad():
        ...     predicted = net(x).data.argmax(axis=1)
    """
    token = _IS_RECORDING.set(False)
    try:
        yield
    finally:
        _IS_RECORDING.reset(token)


def next_order(after: int) -> int:
    """A number above `after` and above every number given out before in this thread or task.

    Above `after`, too, because an input may have been computed in another thread.
    """
    order = max(_LAST_ORDER.get(), after) + 1
    _LAST_ORDER.set(order)
    return order
