"""Horovod's exceptions, and which of ringsync's become which of them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from ringsync.errors import ConfigError, DuplicateNameError, NotInitializedError, RingsyncError
from ringsync.words import error_in_line

_T = TypeVar("_T")

NOT_INITIALIZED = "Horovod has not been initialized; use hvd.init()."


class HorovodInternalError(RingsyncError, RuntimeError):
    """A collective failed: ranks disagree, one is gone, or time is up. The cause is chained."""


class HostsUpdatedInterrupt(RuntimeError):  # noqa: N818  Horovod's name
    """Hosts have come or gone.

    Attributes:
        skip_sync: The state need not be exchanged again.
    """

    def __init__(self, skip_sync: bool = False) -> None:
        """Keep whether the state is equal on all ranks."""
        super().__init__()
        self.skip_sync = skip_sync


class HorovodVersionMismatchError(ImportError):
    """Ranks run versions that cannot talk to each other.

    Attributes:
        name: Of the library.
        version: That runs.
        installed_version: That is installed.
    """

    def __init__(self, name: str, version: str, installed_version: str) -> None:
        """Keep the versions."""
        super().__init__(
            f"{name} {version} runs, {installed_version} is installed. Install one of them."
        )
        self.name = name
        self.version = version
        self.installed_version = installed_version


def without_frames(error: BaseException) -> BaseException:
    """Copy an exception for another time, without what it went through.

    Args:
        error: The exception; whatever its frames hold is freed with it.

    Returns:
        One of the same class that says the same, with the same causes.
    """
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and not any(cause is one for one in chain):
        chain.append(cause)
        cause = cause.__cause__
    copies = [_copied(one) for one in chain]
    for copy, following in itertools.pairwise(copies):
        copy.__cause__ = following
    return copies[0]


def _copied(error: BaseException) -> BaseException:
    try:
        # Past `__init__`, which may ask for other things than were handed to its base.
        copy: BaseException = type(error).__new__(type(error), *error.args)
        copy.__dict__.update(error.__dict__)
        is_alike = str(copy) == str(error)
    except Exception:  # of a class that makes its instances otherwise
        is_alike = False
    return copy if is_alike else HorovodInternalError(error_in_line(error))


class _Told:
    """Keeps nothing of a call, so that one serves all: a generator took a hook 1.1 us, not 0.3."""

    def __init__(self, *kept: type[RingsyncError]) -> None:
        """Take what is raised as it is."""
        self._kept = kept

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise what has gone wrong as Horovod raises it."""
        if isinstance(error, NotInitializedError):
            raise HorovodInternalError(NOT_INITIALIZED) from error
        if isinstance(error, RingsyncError) and not isinstance(error, self._kept):
            raise HorovodInternalError(str(error)) from error


_TOLD = _Told(ConfigError, DuplicateNameError)
# That a scalar has no rows is found out by all ranks together, and Horovod's class is that of such.
_TOLD_OF_SCALAR = _Told(DuplicateNameError)


def told_to_horovod(*, is_scalar: bool = False) -> contextlib.AbstractContextManager[None]:
    """Let what goes wrong in here be raised as Horovod raises it.

    Args:
        is_scalar: In here ranks find out that a scalar was given where rows are expected.

    Returns:
        What `with` takes.

    Raises:
        ValueError: What this rank asked for cannot be done, and it is no scalar without rows;
            ringsync's own ConfigError or DuplicateNameError.
        HorovodInternalError: Anything else that ringsync raises.
    """
    return _TOLD_OF_SCALAR if is_scalar else _TOLD


def asked(question: Callable[[], _T]) -> _T:
    """Ask where this rank is, as Horovod answers it.

    Args:
        question: Of `ringsync.position`.

    Returns:
        Its answer.

    Raises:
        ValueError: Before `init`.
    """
    try:
        return question()
    except NotInitializedError as error:
        raise ValueError(NOT_INITIALIZED) from error
