"""Makes room for the descriptors that the launcher needs for so many ranks, or says that it cannot.

The ranks themselves keep the limit that this process was started with.
"""

from __future__ import annotations

import os
import resource

from ringsync.errors import ConfigError

_RANK_DESCRIPTORS = 4  # its guard's link, stdout and stderr, and the rank's pidfd
# While one guard is started: two pipes, the far end of its link, the descriptor that it holds and a
# pipe for exec's errors, 7; then a merge of timelines or a summary has one or two files open.
_SPARE_DESCRIPTORS = 12


def make_room(size: int) -> int:
    """Raise the soft limit of open files as far as `size` ranks need it.

    Args:
        size: Ranks to start.

    Returns:
        The soft limit as it was, which the guards give back to their ranks; 0 if it suffices.

    Raises:
        ConfigError: The hard limit is too low.
    """
    open_now = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a guard imports this, see guard.py
    needed = open_now + _RANK_DESCRIPTORS * size + _SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _permits(soft, needed):
        return 0
    if not _permits(hard, needed):
        raise ConfigError(
            f"[ringsyncrun] {size} ranks need {needed} open files in the launcher, and {hard} are "
            "permitted. Lower -np, or raise the limit that ulimit -Hn shows."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return soft


def restore(soft: int) -> None:
    """Put the soft limit of open files back in a child of the launcher.

    Args:
        soft: What `make_room` gave; 0 changes nothing.
    """
    if soft:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _permits(limit: int, needed: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= needed
