"""Horovod's exceptions, and which of ringsync's become which of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from ringsync.errors import ConfigError, DuplicateNameError, NotInitializedError, RingsyncError

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


@contextlib.contextmanager
def told_to_horovod() -> Iterator[None]:
    """Let what goes wrong in here be raised as Horovod raises it.

    Raises:
        ValueError: What this rank asked for cannot be done; ringsync's own ConfigError or
            DuplicateNameError.
        HorovodInternalError: Anything else that ringsync raises.
    """
    try:
        yield
    except (ConfigError, DuplicateNameError):
        raise
    except NotInitializedError as error:
        raise HorovodInternalError(NOT_INITIALIZED) from error
    except RingsyncError as error:
        raise HorovodInternalError(str(error)) from error


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
