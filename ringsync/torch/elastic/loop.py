"""Runs a training function on a state, and starts it anew when the hosts have changed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from ringsync.errors import ConfigError
from ringsync.torch.basics import init, shutdown
from ringsync.torch.elastic.base import State
from ringsync.torch.errors import HorovodInternalError, HostsUpdatedInterrupt
from ringsync.torch.waiting import wait_for_ranks
from ringsync.words import kind_of

P = ParamSpec("P")
S = TypeVar("S", bound=State)
T = TypeVar("T")


def run(func: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Make a training function one that begins with equal states, and again when hosts change.

    Ranks cannot be replaced yet. When hosts change, the ranks that there are meet anew, the state's
    reset callbacks are called, and the function starts over with the state as it is. When a
    collective fails, the state goes back to the last commit, and the failure is raised.

    Args:
        func: Takes a `State` first. Make no collective call before it on one rank alone.

    Returns:
        The function to call, with `func`'s arguments; it returns what `func` does.

    Raises:
        HorovodInternalError: From the returned function: a collective failed.
        ConfigError: From the returned function: its first argument is no state.
    """

    @functools.wraps(func)
    def wrapper(state: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        _check(state)
        is_equal = False
        while True:
            try:
                if not is_equal:
                    state.sync()
                return func(state, *args, **kwargs)
            except HorovodInternalError as error:
                state.restore()
                raise HorovodInternalError(
                    f"[elastic] {error} Ranks cannot be replaced yet, so the run ends here, with "
                    "the last committed state restored. Save it and start the job again."
                ) from error
            except HostsUpdatedInterrupt as interrupt:
                is_equal = interrupt.skip_sync
            _meet_anew()
            state.on_reset()

    return wrapper


def _check(state: object) -> None:
    # By what is called of it: a state of the caller's own need not be a State.
    if isinstance(state, type) or not callable(getattr(state, "sync", None)):
        raise ConfigError(
            f"[elastic] {kind_of(state)} was given; a state is expected. Pass, for example, "
            "hvd.elastic.TorchState(model, optimizer), first."
        )


def _meet_anew() -> None:
    # Nobody ends while another still waits for the call that has told of the change.
    wait_for_ranks("elastic.run")
    shutdown()
    init()
