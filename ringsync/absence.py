"""Why a process has no engine, and what to do then.

Only the reasons; which of them holds is known where engines are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ringsync.world import World


@dataclass(frozen=True, slots=True)
class Absence:
    """One reason.

    Attributes:
        reason: In words that end in what to do.
        inherited: The place of the process that this one was forked from, if that had an engine.
    """

    reason: str
    inherited: World | None = None

    def forbids(self, world: World) -> bool:
        """Tell whether an engine at some place would be the parent's rank a second time.

        Args:
            world: The place. Where its ranks meet says nothing, because some launchers name no job
                and the parent process stands for it.

        Returns:
            False for a rank alone, which meets nobody.
        """
        own = self.inherited
        return (
            own is not None
            and world.size > 1
            and (world.family, world.rank, world.size) == (own.family, own.rank, own.size)
        )


NOT_YET: Final = Absence(
    "no engine runs in this process; it is made by init(). Call ringsync.init() first."
)
SHUT_DOWN: Final = Absence(
    "the engine of this process has shut down; calls are expected before shutdown(). Make them "
    "earlier, or call ringsync.init() again on all ranks."
)
ENDING: Final = Absence(
    "this process is ending, and its engine has shut down. Let threads that call end before the "
    "script does."
)


def forked_from(world: World) -> Absence:
    """Say what holds in a forked child.

    Args:
        world: The place of the engine that its parent has.

    Returns:
        The reason.
    """
    return Absence(
        "a forked child has no engine: it does not inherit its parent's, and init() would start "
        "its parent's rank a second time. Make the call in the process that forked this one.",
        world,
    )
