"""Calls in which ranks only wait, for one another or for devices; no tensor moves."""

from __future__ import annotations

from ringsync import collectives
from ringsync.collectives.call import run
from ringsync.kinds import Collective
from ringsync.runtime import current
from ringsync.torch.errors import told_to_horovod
from ringsync.torch.process_sets import ProcessSet, global_process_set, group_of

# How long a wait for a device may keep Ctrl-C from being heard.
_SIGNAL_S = 0.1


def settle_calls() -> None:
    """Wait until devices have done what the calls of this rank that have returned gave them.

    Raises:
        HorovodInternalError: One of those calls has failed by then.
    """
    with told_to_horovod():
        while not current().engine.settle(_SIGNAL_S):
            pass


def barrier(process_set: ProcessSet = global_process_set) -> None:
    """Wait until all ranks have called this.

    Args:
        process_set: Whose ranks.

    Raises:
        ValueError: This rank is not in the set, or the set is not registered.
        HorovodInternalError: A rank died, or did not come in time.
    """
    group = group_of("Barrier", process_set)
    with told_to_horovod():
        collectives.barrier(group=group)


def wait_for_ranks(name: str) -> None:
    """Wait until all ranks have called this, as `barrier` does.

    Args:
        name: What errors and warnings call it, where a rank does not come.

    Raises:
        HorovodInternalError: A rank died, or did not come in time.
    """
    with told_to_horovod():
        run("barrier", Collective.BARRIER, None, name, None)


def join(device: int = -1) -> int:
    """Take part with zeros in what the others still reduce, until all ranks have called this.

    Args:
        device: Horovod's; there is nothing to choose.

    Returns:
        The rank that joined last.

    Raises:
        HorovodInternalError: A rank died, or did not come in time.
    """
    del device
    with told_to_horovod():
        return collectives.join()
