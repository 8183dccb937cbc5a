"""The engine of this process: made by `init`, ended by `shutdown`, found here by everyone above.

It performs no collective and makes no array.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import CellType

from ringsync._native import (
    Engine,
    KeptMemory,
    algorithm_names,
    count_devices,
    kernel_names,
    meet,
    memory_store,
    plugin_path,
    transport_names,
)
from ringsync._native import assign_buckets as native_assign_buckets
from ringsync.absence import ENDING, NOT_YET, Absence, forked_from, shut_down
from ringsync.config import Settings, read_settings, read_world
from ringsync.endings import Endings
from ringsync.equal_starts import EqualStarts
from ringsync.errors import NotInitializedError
from ringsync.nccl import choose_nccl
from ringsync.preflight import compare_ranks, gather_facts, warn_of_misspelt
from ringsync.recorder import Recorder
from ringsync.threads import limit_threads
from ringsync.trial import choose_way
from ringsync.world import World

# One wake-up of a sleeping core takes 35 to 50 us, so looking for news any longer than that before
# going to sleep cannot pay.
_WAKE_UP_US = 40.0

# Where several processes share the cores of this host.
_TRANSPORT = "shm"


class Runtime:
    """One rank's engine and what must live as long as it."""

    def __init__(self, world: World, settings: Settings, inherited: tuple[World, ...]) -> None:
        """Meet the other ranks and start the engine.

        Args:
            world: Place of this process in its job.
            settings: The user's tuning.
            inherited: Places of ranks that this process was forked from.

        Raises:
            RendezvousError: Ranks did not come in time, or run versions of ringsync that cannot
                talk to each other; the message names them.
            ConfigError: Ranks have different settings where they have to be equal.
        """
        self.world = world
        self.settings = settings
        self.inherited = inherited
        self.adopted: list[object] = []  # kept, as the engine knows no more than their addresses
        self._numbers: Counter[str] = Counter()
        self.equal_starts = EqualStarts()
        cores = len(os.sched_getaffinity(0))
        timeout_s = settings.start_timeout_s
        nccl = choose_nccl(settings)
        if world.size == 1:
            store = memory_store()
        else:
            facts = gather_facts(settings)  # before they meet: nobody waits for it then
            reply_s = min(settings.timeout_s, timeout_s)
            store = meet(world.directory, world.rank, world.size, timeout_s, reply_s)
            compare_ranks(store, world, facts, timeout_s)
        self.engine = Engine(
            store,
            world.rank,
            world.size,
            "inproc" if world.size == 1 else _TRANSPORT,
            algorithm=settings.algorithm,
            # A rank computes on one thread and the engine works on another.
            caller_spin_us=_WAKE_UP_US if world.local_size <= cores else 0.0,
            engine_spin_us=_WAKE_UP_US if 2 * world.local_size <= cores else 0.0,
            timeout_s=timeout_s,
            call_timeout_s=settings.timeout_s,
            stall_warn_s=settings.stall_warn_s,
            stall_abort_s=settings.stall_abort_s,
            device_plugin=_built_plugin(settings.device_plugin),
            has_nccl=nccl.is_wanted,
            nccl_library=nccl.library,
            nccl_candidates=list(nccl.candidates),
            kept_memory=_kept_memory,
        )
        self._endings = Endings(self.engine, world)
        self.recorder = Recorder(self.engine, world)
        self._has_core = world.local_size <= cores

    def meet(self) -> None:
        """Return once every rank is connected, so that none can end while others still connect.

        On the way they find out how private memory moves fastest. The timeline begins then.

        Raises:
            PeerLostError: A rank ended first.
            TimedOutError: A rank did not come in time.
        """
        timeout_s = self.settings.start_timeout_s
        if self.world.size > 1:
            choose_way(self.engine, self._has_core, timeout_s)
        if self.settings.timeline:
            self.recorder.start(self.settings.timeline)

    def give_up(self, error: BaseException) -> None:
        """Let go of an engine that could not start.

        Args:
            error: Why. Peers learn of it, from the process's end or else soon.
        """
        self._endings.give_up(error, f"rank {self.world.rank} could not start")

    def next_number(self, kind: str) -> int:
        """Number the next thing of a kind; ranks that run one script count alike.

        Args:
            kind: What is counted.

        Returns:
            0, 1, 2, ...
        """
        self._numbers[kind] += 1
        return self._numbers[kind] - 1

    def close(self, cause: str) -> None:
        """Write the timeline, if one is being recorded, and end the engine.

        Args:
            cause: What peers that still need this rank are told; "" tells them nothing, they will
                see the process end.
        """
        try:
            self.recorder.stop()
        finally:
            self._endings.remove()
            self._endings.say_ended(is_process_ending=not cause)
            self.engine.shutdown(cause)


_current: Runtime | Absence = NOT_YET

# Threads that start this rank at once are one rank, which meets the others once. Reentrant, so that
# a signal's handler that calls `init` gets an error of it and no deadlock.
_starting = threading.RLock()

# Holds the engine of `_current`, for calls that reach it without a line of Python; else empty.
engine_cell = CellType()

# What engines leave of their devices' memory, which no driver gets back, to those that come after.
_kept_memory = KeptMemory()


def current() -> Runtime:
    """Return this process's runtime.

    Returns:
        The runtime that `init` made.

    Raises:
        NotInitializedError: There is none yet or any more, or this is a forked child of the process
            that has one.
    """
    if isinstance(_current, Absence):
        raise NotInitializedError(f"[ringsync] {_current.reason}")
    return _current


def init() -> None:
    """Start the engine of this process and meet the other ranks; a second call changes nothing.

    Of several threads that call it at once, the first starts the engine and the others wait for it.

    Which rank this process is comes from the environment that a launcher set; without one the world
    has size 1.

    Raises:
        ConfigError: The environment contradicts itself or that of another rank, or names several
            hosts.
        RendezvousError: Ranks did not come in time, or run versions of ringsync that cannot talk to
            each other; the message names them.
        NotInitializedError: This is a forked child of a process that has an engine, and would be
            the same rank of the same job.
    """
    global _current  # noqa: PLW0603 - the one piece of global state
    with _starting:
        if isinstance(_current, Absence):
            runtime = _started(_current)
            _current = runtime
            engine_cell.cell_contents = runtime.engine


def shutdown() -> None:
    """End the engine. Operations in flight fail; peers that still need this rank are told so."""
    global _current  # the one piece of global state
    if isinstance(_current, Runtime):
        runtime, _current = _current, shut_down(_current.inherited)
        del engine_cell.cell_contents
        runtime.close("rank " + str(runtime.world.rank) + " has shut down")


def is_initialized() -> bool:
    """Tell whether an engine runs in this process.

    Returns:
        True between `init` and `shutdown`.
    """
    return isinstance(_current, Runtime)


def assign_buckets(sizes_bytes: Sequence[int], limit_bytes: int, least: int) -> list[list[int]]:
    """Cut tensors, given in expected order of readiness, into buckets of consecutive ones.

    Args:
        sizes_bytes: Size of each tensor.
        limit_bytes: Most bytes in a bucket of more than one tensor.
        least: Wanted number of buckets, at least, as far as single tensors allow.

    Returns:
        Indices of the tensors of each bucket.
    """
    return native_assign_buckets(list(sizes_bytes), limit_bytes, least)


def built_names() -> dict[str, list[str]]:
    """Name what the native core was built with.

    Returns:
        `kernels` that this processor runs, the widest first, `transports` and `algorithms`.
    """
    return {
        "kernels": kernel_names(),
        "transports": transport_names(),
        "algorithms": algorithm_names(),
    }


def is_cuda_built() -> bool:
    """Tell whether the CUDA plug-in was built; whether it finds a device, `find_gpus` tells.

    Returns:
        True if so.
    """
    return bool(_built_plugin("cuda"))


def find_gpus() -> tuple[int, str] | None:
    """Ask the CUDA plug-in for devices; it is loaded for that, and the driver woken up.

    Returns:
        How many there are, and why there is none; None if the plug-in was not built.

    Raises:
        ConfigError: It cannot be loaded, or is of another version.
    """
    path = _built_plugin("cuda")
    return count_devices(path) if path else None


def _built_plugin(kind: str) -> str:
    """The file of what serves arrays on such devices; "" where it was not built."""
    path = plugin_path(kind)
    return path if Path(path).exists() else ""


def _started(absence: Absence) -> Runtime:
    world, settings = read_world(), read_settings()
    if absence.forbids(world):
        raise NotInitializedError(f"[init] {forked_from(absence.inherited).reason}")
    limit_threads(world, settings)
    if world.rank == 0:
        warn_of_misspelt(settings)
    runtime = Runtime(world, settings, absence.inherited)
    try:
        runtime.meet()
    except BaseException as error:  # whatever it is, peers must not wait for a rank without runtime
        runtime.give_up(error)
        raise
    return runtime


def _close_at_exit() -> None:
    """Leave without a word: peers notice once the process has really ended.

    If they were told now, they could fail and end before this process does, and whoever watches the
    job would take the wrong one for the first to fail.
    """
    global _current  # the one piece of global state
    if isinstance(_current, Runtime):
        runtime, _current = _current, ENDING
        del engine_cell.cell_contents
        runtime.close("")


def _forget_in_child() -> None:
    """A forked child has no engine thread; what it inherited must not act on its behalf."""
    global _current, _starting  # noqa: PLW0603 - the one piece of global state, its lock
    if isinstance(_current, Runtime):
        _current = forked_from((*_current.inherited, _current.world))
    _starting = threading.RLock()  # who held it does not exist here
    del engine_cell.cell_contents


os.register_at_fork(after_in_child=_forget_in_child)
atexit.register(_close_at_exit)
