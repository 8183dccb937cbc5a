"""Splits the launcher into a guard and a supervisor, each of which cleans up after the other.

The guard is the process the user started: it forwards signals and waits. The supervisor, its
child, starts the ranks. `kill -9` of either leaves the other one to end every process and to
remove the job's directory. What no process can survive, both killed at once, still takes the ranks
along (PR_SET_PDEATHSIG), though not what the ranks started.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ringsync.launch.descendants import (
    ProcessEnd,
    adopt_orphans,
    children_of,
    kill_children,
    reap,
)
from ringsync.launch.output import say

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SWEEP_LIMIT_S = 2.0  # SIGKILL takes milliseconds; longer means a process stuck in the kernel
_SOFTWARE_ERROR = 70  # EX_SOFTWARE of sysexits.h

Watched = frozenset[signal.Signals]


@contextmanager
def signals_held() -> Iterator[Watched]:
    """Hold back the signals that end the launcher, until the guard asks for them.

    Signals that the caller ignores stay ignored: `nohup` and `command &` rely on it.

    Yields:
        The signals to watch: SIGCHLD and the forwarded ones.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    heeded = (number for number in _FORWARDED if signal.getsignal(number) != signal.SIG_IGN)
    watched = frozenset({signal.SIGCHLD, *heeded})
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        yield watched
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def run_guarded(supervise: Callable[[int], int], watched: Watched) -> int:
    """Run `supervise` in a child process and guard it; call within `signals_held`.

    The child has a session of its own, so that Ctrl-C reaches it exactly once, through the guard.

    Args:
        supervise: Gets a pidfd of the guard (readable once it is dead) and returns an exit code;
            `watched` are still blocked when it is called.
        watched: What `signals_held` gave.

    Returns:
        The exit code of `supervise`, or 128 + signal if a signal ended it.
    """
    spared = children_of()  # a shell may have become this process by exec, and left children
    adopt_orphans()
    guard_fd = os.pidfd_open(os.getpid())  # made here, so that it cannot name a later process
    supervisor = os.fork()
    if supervisor == 0:
        _become_supervisor(supervise, guard_fd)
    os.close(guard_fd)
    end = _wait(supervisor, watched)
    sweep = kill_children(time.monotonic() + _SWEEP_LIMIT_S, spared)
    if end.signal_number is not None:
        say(
            f"[ringsyncrun] the supervisor (pid {supervisor}) was {end.describe()}; "
            f"{len(sweep.ended)} processes of the job were ended."
        )
    if sweep.left:
        say(f"[ringsyncrun] processes {sorted(sweep.left)} do not die; look at them with ps.")
    return end.status


def _wait(supervisor: int, watched: Watched) -> ProcessEnd:
    while True:
        number = signal.sigwait(watched)
        if number != signal.SIGCHLD:
            os.kill(supervisor, number)
        end = reap(supervisor)
        if end is not None:
            return end


def _become_supervisor(supervise: Callable[[int], int], guard_fd: int) -> None:
    """Run to the end of the process; nothing of the guard's own call stack may run here."""
    status = _SOFTWARE_ERROR
    try:
        os.setsid()
        adopt_orphans()
        status = supervise(guard_fd)
    except BaseException:  # the border of a process: told in full, code 70
        traceback.print_exc()
    finally:
        os._exit(status)
