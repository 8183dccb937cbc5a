"""Horovod's words for the start, the end and the place of a rank, and for its timeline.

Nothing here waits for other ranks but `init`.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence

from ringsync import position, runtime, timeline
from ringsync.errors import ConfigError, RingsyncError
from ringsync.torch import handles
from ringsync.torch.errors import asked
from ringsync.torch.process_sets import ProcessSet, forget_process_sets, register_all
from ringsync.words import in_line


def init(comm: object = None, process_sets: Sequence[ProcessSet] | str | None = None) -> None:
    """Start this rank, unless it has started.

    Args:
        comm: None. Ranks and communicators belong to MPI; make a `ProcessSet` instead.
        process_sets: Sets of ranks to register, the same on every rank; "dynamic" or None: none.
            More can always be added.

    Raises:
        ValueError: An argument cannot be used, or the ranks did not meet.
    """
    if comm is not None:
        raise ValueError(
            "[init] comm= needs MPI, which ringsync does not use here. Pass process_sets=, or call "
            "add_process_set()."
        )
    if isinstance(process_sets, str):
        if process_sets.lower() != "dynamic":
            raise ValueError(
                f"[init] process_sets={in_line(process_sets)}; sets, or 'dynamic', are expected. "
                "Pass a list of ProcessSets."
            )
        process_sets = ()
    if runtime.is_initialized():
        return
    handles.forget_all()
    forget_process_sets()
    try:
        runtime.init()
        try:
            register_all(process_sets or ())
        except BaseException:
            shutdown()  # or a second call would find all in order
            raise
    except ConfigError:
        raise
    except RingsyncError as error:
        raise ValueError(f"Horovod initialization failed. {error}") from error


def shutdown() -> None:
    """End this rank; peers that still need it fail. Process sets and handles are gone then."""
    runtime.shutdown()
    handles.forget_all()
    forget_process_sets()


# So that what has not been synchronized lets go of its tensors before the interpreter does.
atexit.register(handles.forget_all)


def is_initialized() -> bool:
    """Tell whether this rank has started and not ended.

    Returns:
        True in between.
    """
    return runtime.is_initialized()


def rank() -> int:
    """Return the number of this process among all.

    Returns:
        0 <= rank < size().

    Raises:
        ValueError: Before `init`.
    """
    return asked(position.rank)


def size() -> int:
    """Return the number of processes.

    Returns:
        At least 1.

    Raises:
        ValueError: Before `init`.
    """
    return asked(position.size)


def local_rank() -> int:
    """Return the number of this process among those of its host.

    Returns:
        0 <= local_rank < local_size().

    Raises:
        ValueError: Before `init`.
    """
    return asked(position.local_rank)


def local_size() -> int:
    """Return the number of processes on this host.

    Returns:
        At least 1.

    Raises:
        ValueError: Before `init`.
    """
    return asked(position.local_size)


def cross_rank() -> int:
    """Return the number of this host.

    Returns:
        0 <= cross_rank < cross_size().

    Raises:
        ValueError: Before `init`.
    """
    return asked(position.node_rank)


def cross_size() -> int:
    """Return the number of hosts.

    Returns:
        At least 1.

    Raises:
        ValueError: Before `init`.
    """
    return asked(position.num_nodes)


def is_homogeneous() -> bool:
    """Tell whether all hosts have equally many processes.

    Returns:
        True; ringsync starts no others.

    Raises:
        ValueError: Before `init`.
    """
    asked(position.size)
    return True


def start_timeline(file_path: str | os.PathLike[str], mark_cycles: bool = False) -> None:
    """Begin to write a timeline; every rank calls this, and every rank's events are written.

    Args:
        file_path: Where; see docs/timeline.md.
        mark_cycles: Horovod's; ringsync has no cycles.

    Raises:
        ValueError: Before `init`, or the path cannot be used.
    """
    del mark_cycles
    asked(position.size)
    timeline.start_timeline(file_path)


def stop_timeline() -> None:
    """End the timeline, if one is being written."""
    if runtime.is_initialized():
        timeline.stop_timeline()
