"""Makes children die with their parent, finds all descendants of this process, and ends them.

Linux only: prctl, process groups, /proc. It knows nothing of ranks and prints nothing.
"""

# A guard imports this, and to import pathlib or dataclasses takes longer than all that it does.
# ruff: noqa: PTH123, PTH208

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, cast

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_FULL = (errno.EMFILE, errno.ENFILE)  # no descriptor is left, in this process or on this host


class ProcessEnd(NamedTuple):
    """How a process ended.

    Attributes:
        code: Its exit code; None if a signal ended it.
        signal_number: The signal that ended it; None if it exited.
    """

    code: int | None
    signal_number: int | None = None

    @property
    def status(self) -> int:
        """The exit code as a shell shows it: 128 + signal for signals."""
        return self.code if self.code is not None else 128 + (self.signal_number or 0)

    def describe(self) -> str:
        """Say it in words, for example `killed by signal 9 (SIGKILL)`."""
        if self.code is not None:
            return f"exited with code {self.code}"
        return f"killed by signal {self.signal_number} ({signal_name(self.signal_number or 0)})"


class Sweep(NamedTuple):
    """What `kill_children` did.

    Attributes:
        ended: How each reaped child ended, by process id.
        left: Children that outlived the deadline (the kernel holds them, for example in I/O).
    """

    ended: dict[int, ProcessEnd]
    left: frozenset[int]


def signal_name(number: int) -> str:
    """Name a signal; real-time signals, which have no name in Python, by number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def die_with_parent(parent_pid: int, number: int = signal.SIGKILL) -> Callable[[], None]:
    """Prepare a function for a new child: signal it when its parent thread ends.

    Args:
        parent_pid: Process id of the parent, taken before the fork.
        number: The signal.

    Returns:
        A function to call in the child, after fork, also before exec. It ends the child at once
        if the parent is gone already, since then no signal would come.
    """
    prctl = _load_prctl()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent_pid:
            os._exit(128 + number)

    return tie


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent ends (subreaper).

    Raises:
        OSError: The kernel refused.
    """
    if _load_prctl()(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def children_of(pid: int | None = None) -> frozenset[int]:
    """List the direct children of a process, zombies included.

    Args:
        pid: The process; None means this one.

    Returns:
        Process ids; empty if the process is gone, or where /proc is missing or another pid
        namespace's, whose numbers mean nothing here.

    Cost: A file per thread of the process; where the kernel has no such files, one per process of
        this host.
    """
    if not _is_proc_ours():
        return frozenset()
    found: set[int] = set()
    tasks = f"/proc/{'self' if pid is None else pid}/task"
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the process is gone
        for task in os.listdir(tasks):
            with (
                contextlib.suppress(FileNotFoundError, ProcessLookupError),  # the thread is gone
                open(f"{tasks}/{task}/children") as file,
            ):
                found.update(map(int, file.read().split()))
    if found or has_lists_of_children():
        return frozenset(found)
    return _children_by_search(os.getpid() if pid is None else pid)


@functools.cache
def has_lists_of_children() -> bool:
    """Whether the kernel lists the children of a task (CONFIG_PROC_CHILDREN; some sandboxes don't).

    Returns:
        False where every process has to be asked who its parent is.
    """
    return os.path.exists("/proc/thread-self/children")  # noqa: PTH110 - see the imports


def descendants() -> frozenset[int]:
    """List the whole tree below this process, as it is at this moment."""
    found: set[int] = set()
    edge = list(children_of())
    while edge:
        pid = edge.pop()
        if pid not in found:
            found.add(pid)
            edge.extend(children_of(pid))
    return frozenset(found)


def group_of(pid: int) -> int | None:
    """Name the process group of a process; None if it is gone."""
    with contextlib.suppress(ProcessLookupError):  # it is gone: None
        return os.getpgid(pid)
    return None


def send_signal(pids: Iterable[int], number: int) -> None:
    """Signal processes one by one; those that are gone already are passed over."""
    for pid in pids:
        # A process that became another user's cannot be signalled; the sweep tells who stayed.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def send_signal_to_groups(groups: Iterable[int], number: int) -> None:
    """Signal process groups; those that are gone already are passed over.

    Args:
        groups: Leaders that are not reaped yet, so that their numbers cannot have been reused.
        number: The signal.
    """
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # gone, or another user's
            os.killpg(group, number)


def reap(pid: int) -> ProcessEnd | None:
    """Collect one child if it has ended; returns at once.

    Args:
        pid: A direct child that was not reaped yet.

    Returns:
        How it ended, or None while it lives.
    """
    return _collect(pid, os.WEXITED | os.WNOHANG)


def await_end(pid: int) -> ProcessEnd:
    """Collect a child that is about to end.

    Args:
        pid: A direct child that was not reaped yet.

    Returns:
        How it ended.
    """
    return cast(ProcessEnd, _collect(pid, os.WEXITED))


def kill_children(deadline_s: float, spared: frozenset[int] = frozenset()) -> Sweep:
    """SIGKILL and reap every descendant; needs `adopt_orphans`.

    Only direct children are signalled: they stay zombies until reaped here, so no number can be
    reused by a stranger. When one dies its own children become ours before its end can be seen,
    and the next turn finds them. The loop ends when no child is left.

    Args:
        deadline_s: `time.monotonic()` at which to give up.
        spared: Children to leave alone.

    Returns:
        Who ended how, and who is left.
    """
    sweep = Sweep({}, frozenset())
    while alive := children_of() - spared:
        send_signal(alive, signal.SIGKILL)
        ended = {pid: end for pid in alive if (end := reap(pid)) is not None}
        sweep.ended.update(ended)
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:  # also where something dies, and something is born, in each turn
            return sweep._replace(left=children_of() - spared)
        if not ended:
            _await_end_of_any(alive, left_s)
    return sweep


@functools.cache
def _is_proc_ours() -> bool:
    try:
        return os.readlink("/proc/self") == str(os.getpid())  # noqa: PTH115 - see the imports
    except OSError:
        return False


def _children_by_search(parent: int) -> frozenset[int]:
    found: set[int] = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with (
                contextlib.suppress(FileNotFoundError, ProcessLookupError),  # it is no child now
                open(f"/proc/{name}/stat") as file,
            ):
                # The name of the program, in brackets, may hold anything; state and parent follow.
                if int(file.read().rpartition(")")[2].split()[1]) == parent:
                    found.add(int(name))
    return frozenset(found)


def _collect(pid: int, options: int) -> ProcessEnd | None:
    result = os.waitid(os.P_PID, pid, options)
    if result is None:
        return None
    if result.si_code == os.CLD_EXITED:
        return ProcessEnd(result.si_status)
    return ProcessEnd(None, result.si_status)


def _await_end_of_any(children: Iterable[int], limit_s: float) -> None:
    with contextlib.ExitStack() as stack:
        poll = select.poll()
        for pid in children:
            try:
                descriptor = os.pidfd_open(pid)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                break  # it wakes us later or not at all; it has been sent SIGKILL all the same
            stack.callback(os.close, descriptor)
            poll.register(descriptor, select.POLLIN)
        poll.poll(1000 * limit_s)


def _load_prctl() -> Callable[..., int]:
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    prctl.restype = ctypes.c_int
    return prctl
