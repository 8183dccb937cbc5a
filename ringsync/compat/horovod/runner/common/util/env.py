"""Where this process stands according to its launcher, before `init`."""

from __future__ import annotations

from ringsync.config import read_world


def get_env_rank_and_size() -> tuple[int, int]:
    """Read rank and size from the environment, as `init` will.

    Returns:
        Both; 0 and 1 without a launcher.
    """
    world = read_world()
    return world.rank, world.size
