"""Where this process stands in its job, for scripts to ask.

`init` found it out; nothing is read or counted here.
"""

from __future__ import annotations

from ringsync.runtime import current


def rank() -> int:
    """Return the number of this process among all.

    Returns:
        0 <= rank < size().

    Raises:
        NotInitializedError: Before `init`.
    """
    return current().world.rank


def size() -> int:
    """Return the number of processes.

    Returns:
        At least 1.

    Raises:
        NotInitializedError: Before `init`.
    """
    return current().world.size


def local_rank() -> int:
    """Return the number of this process among those of its host.

    Returns:
        0 <= local_rank < local_size().

    Raises:
        NotInitializedError: Before `init`.
    """
    return current().world.local_rank


def local_size() -> int:
    """Return the number of processes on this host.

    Returns:
        At least 1.

    Raises:
        NotInitializedError: Before `init`.
    """
    return current().world.local_size


def node_rank() -> int:
    """Return the number of this host.

    Returns:
        0 <= node_rank < num_nodes().

    Raises:
        NotInitializedError: Before `init`.
    """
    return current().world.node_rank


def num_nodes() -> int:
    """Return the number of hosts.

    Returns:
        At least 1.

    Raises:
        NotInitializedError: Before `init`.
    """
    return current().world.num_nodes
