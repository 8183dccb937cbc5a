"""Decides how many ranks there are and what share of this host's cores each one gets.

It starts nothing and sets nothing; spawn.py turns its answers into environment variables.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ringsync.errors import ConfigError
from ringsync.launch.hosts import Host


@dataclass(frozen=True, slots=True)
class Place:
    """Where one rank stands; on one host the local numbers equal the global ones.

    Attributes:
        rank: Number in the job, 0-based.
        size: Ranks in the job.
        local_rank: Number on its host.
        local_size: Ranks on its host.
        node_rank: Number of its host.
        num_nodes: Hosts in the job.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    node_rank: int = 0
    num_nodes: int = 1


def places(size: int) -> tuple[Place, ...]:
    """Place `size` ranks on this host, in rank order.

    Args:
        size: Ranks in the job, 1 or more.

    Returns:
        One place per rank.
    """
    return tuple(Place(rank, size, rank, size) for rank in range(size))


def choose_size(asked: int | None, hosts: Sequence[Host]) -> int:
    """Settle the number of ranks from `-np` and `-H`.

    Args:
        asked: The value of `-np`; None when it was not given.
        hosts: The hosts of `-H`; empty when it was not given.

    Returns:
        `asked`, or else the sum of the slots.

    Raises:
        ConfigError: Neither was given, or `-np` exceeds the slots.
    """
    slots = sum(host.slots for host in hosts)
    if asked is None:
        if not hosts:
            raise ConfigError(
                "[ringsyncrun] the number of ranks is missing. Add -np N, or -np auto for one "
                "rank per physical core."
            )
        return slots
    if hosts and asked > slots:
        raise ConfigError(
            f"[ringsyncrun] -np {asked} is more than the {slots} slots of -H. Raise the slots, "
            f"for example -H {hosts[0].name}:{asked}, or lower -np."
        )
    return asked


def core_count() -> int:
    """Count the logical cores that this process may use (its affinity mask, not the machine's)."""
    return len(os.sched_getaffinity(0))


def physical_core_count(topology: Path = Path("/sys/devices/system/cpu")) -> int:
    """Count the physical cores that this process may use.

    Args:
        topology: Where the kernel shows the cores; a test passes its own.

    Returns:
        Distinct (package, core) pairs within the affinity mask; the number of logical cores where
        the kernel does not tell.
    """
    cores: set[tuple[str, str]] = set()
    for number in os.sched_getaffinity(0):
        facts = topology / f"cpu{number}" / "topology"
        try:
            package = (facts / "physical_package_id").read_text().strip()
            cores.add((package, (facts / "core_id").read_text().strip()))
        except OSError:
            return core_count()
    return len(cores)


def threads_per_rank(cores: int, local_size: int) -> int:
    """Share the cores of a host among its ranks.

    Args:
        cores: Logical cores that may be used.
        local_size: Ranks on this host.

    Returns:
        Compute threads for each rank, 1 or more.
    """
    return max(1, cores // local_size)
