"""What this machine has and permits: cores, memory, and the system calls that ranks use.

Each call is tried rather than looked up, because containers forbid some for reasons of their own.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from ringsync.info.finding import Finding

_PTRACE_SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage")
_CGROUP = Path("/sys/fs/cgroup")
_LIST_OF_CHILDREN = Path("/proc/thread-self/children")  # CONFIG_PROC_CHILDREN
_MIB = 2**20


def look_at_host() -> list[Finding]:
    """List what this machine has.

    Returns:
        One finding for each thing.
    """
    return [
        _cores(),
        _memory(),
        _huge_pages(),
        _tried(
            "memfd",
            lambda: os.memfd_create("ringsync-info", os.MFD_CLOEXEC),
            "memory that ranks share",
            "Ranks cannot share memory without memfd_create; allow it, or use Linux 3.17 or newer.",
        ),
        _tried(
            "pidfd",
            lambda: os.pidfd_open(os.getpid()),
            "the end of a rank is seen at once",
            "Ranks cannot be watched without pidfd_open; allow it, or use Linux 5.3 or newer.",
        ),
        _children(),
        _reach(),
        _open_files(),
    ]


def _cores() -> Finding:
    usable, total = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    detail = f"{usable} of {total} may be used"
    quota = _read(_CGROUP / "cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit() and int(quota[1]):  # noqa: PLR2004 - quota, period
        detail += f", for {int(quota[0]) / int(quota[1]):g} cores' time (cgroup)"
    return Finding("cores", True, detail)


def _memory() -> Finding:
    facts = dict(line.split(":", 1) for line in _read(Path("/proc/meminfo")).splitlines())
    amounts = {
        label: int(facts[name].split()[0]) // 1024
        for label, name in (("in all", "MemTotal"), ("available", "MemAvailable"))
        if name in facts
    }
    detail = ", ".join(f"{mib:,} MiB {label}" for label, mib in amounts.items())
    limit = _read(_CGROUP / "memory.max")
    if limit.isdigit():
        detail += f", at most {int(limit) // _MIB:,} MiB here (cgroup)"
    return Finding("memory", bool(amounts), detail or "/proc/meminfo cannot be read")


def _huge_pages() -> Finding:
    private = _chosen(_read(_HUGE_PAGES / "enabled"))
    shared = _chosen(_read(_HUGE_PAGES / "shmem_enabled"))
    if not private:
        return Finding("huge pages", False, "this kernel has no transparent ones")
    is_used = private != "never"  # NumPy asks for them where they are given on request (madvise)
    advice = "" if is_used else f"As root: echo madvise > {_HUGE_PAGES / 'enabled'}."
    detail = f"{private} for private memory, {shared or 'never'} for shared memory"
    return Finding("huge pages", is_used, detail, advice)


def _open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Finding("open files", True, f"{_limit(soft)} a process, at most {_limit(hard)}")


def _limit(number: int) -> str:
    return "any number" if number == resource.RLIM_INFINITY else f"{number:,}"


def _tried(name: str, make: Callable[[], int], purpose: str, advice: str) -> Finding:
    try:
        os.close(make())
    except (OSError, AttributeError) as error:
        return Finding(name, False, f"not permitted: {error}", advice)
    return Finding(name, True, purpose)


def _children() -> Finding:
    try:
        _LIST_OF_CHILDREN.read_text()
    except OSError as error:
        return Finding(
            "children", False, f"not listed: {error}; guards search all processes for them instead"
        )
    return Finding("children", True, "what ranks have started is found at once")


def _reach() -> Finding:
    """Try as ranks do: between two processes that are each other's siblings."""
    try:
        number = _errno_of_reach()
    except OSError as error:  # no room for two more processes, or for a pipe
        return Finding(
            "process_vm_readv",
            False,
            f"could not be tried: {error}",
            "Ask again when fewer processes run here, or raise the limit that ulimit -u shows.",
        )
    if number == 0:
        return Finding("process_vm_readv", True, "ranks copy large arrays in one step")
    scope = _read(_PTRACE_SCOPE)
    if scope not in {"", "0"}:
        why = f"{_PTRACE_SCOPE} is {scope}"
        advice = "As root: sysctl kernel.yama.ptrace_scope=0."
    else:
        why = os.strerror(number)
        advice = "In a container: --cap-add SYS_PTRACE."
    return Finding(
        "process_vm_readv",
        False,
        f"not permitted: {why}; large arrays go through queues instead, copied twice",
        advice,
    )


def _errno_of_reach() -> int:
    """Have one child read a byte of another; 0 if it could, else why not."""
    word = ctypes.c_char(b"x")  # at one address in both children, which are copies of this process
    with warnings.catch_warnings(), _sleeper() as sleeper:
        # Of threads, which OpenBLAS has; the children make system calls and end.
        warnings.simplefilter("ignore", DeprecationWarning)
        reader = os.fork()
        if reader == 0:
            number = errno.EIO
            try:
                number = _errno_of_read(sleeper, ctypes.addressof(word))
            finally:
                os._exit(number)
        return os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1])


@contextlib.contextmanager
def _sleeper() -> Iterator[int]:
    """A child that does nothing, for as long as it is needed; yields its process id."""
    ear, mouth = os.pipe()
    try:
        sleeper = os.fork()
    except OSError:
        os.close(mouth)
        os.close(ear)
        raise
    if sleeper == 0:
        try:
            os.close(mouth)
            os.read(ear, 1)  # until the parent closes the other end, or is gone
        finally:
            os._exit(0)
    os.close(ear)
    try:
        yield sleeper
    finally:
        os.close(mouth)
        os.waitpid(sleeper, 0)


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _errno_of_read(pid: int, address: int) -> int:
    target = ctypes.create_string_buffer(1)
    local, remote = _Vector(ctypes.addressof(target), 1), _Vector(address, 1)
    try:
        read = ctypes.CDLL(None, use_errno=True).process_vm_readv
    except AttributeError:
        return errno.ENOSYS
    pointer, word = ctypes.POINTER(_Vector), ctypes.c_ulong
    read.argtypes = [ctypes.c_int, pointer, word, pointer, word, word]
    read.restype = ctypes.c_ssize_t
    count = read(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
    return 0 if count == 1 else ctypes.get_errno() or errno.EIO


def _chosen(text: str) -> str:
    """Of `always [madvise] never`, the one in brackets."""
    return text.partition("[")[2].partition("]")[0]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
