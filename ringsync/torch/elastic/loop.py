"""Runs a training function on a state, and starts it anew when the hosts have changed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from ringsync.torch.basics import init, shutdown
from ringsync.torch.elastic.base import State
from ringsync.torch.errors import HorovodInternalError, HostsUpdatedInterrupt
from ringsync.torch.waiting import barrier

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
    """

    @functools.wraps(func)
    def wrapper(state: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
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


def _meet_anew() -> None:
    # Nobody ends while another still waits for the call that has told of the change.
    barrier()
    shutdown()
    init()
