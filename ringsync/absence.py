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
        inherited: Places of the processes that this one descends from and that had an engine when
            they forked.
    """

    reason: str
    inherited: tuple[World, ...] = ()

    def forbids(self, world: World) -> bool:
        """Tell whether an engine at some place would be an ancestor's rank a second time.

        Args:
            world: The place. Where its ranks meet says nothing, because some launchers name no job
                and the parent process stands for it.

        Returns:
            False for a rank alone, which meets nobody.
        """
        return world.size > 1 and any(
            (world.family, world.rank, world.size) == (own.family, own.rank, own.size)
            for own in self.inherited
        )


NOT_YET: Final = Absence(
    "no engine runs in this process; it is made by init(). Call ringsync.init() first."
)
ENDING: Final = Absence(
    "this process is ending, and its engine has shut down. Let threads that call end before the "
    "script does."
)


def shut_down(inherited: tuple[World, ...]) -> Absence:
    """Say what holds after `shutdown`.

    Args:
        inherited: As it was before `init`.

    Returns:
        The reason.
    """
    return Absence(
        "the engine of this process has shut down; calls are expected before shutdown(). Make them "
        "earlier, or call ringsync.init() again on all ranks.",
        inherited,
    )


def forked_from(places: tuple[World, ...]) -> Absence:
    """Say what holds in a forked child.

    Args:
        places: Of the engine that its parent has, and of those that its parent's parents had.

    Returns:
        The reason.
    """
    return Absence(
        "a forked child has no engine: it does not inherit its parent's, whose rank init() starts "
        "no second time. Make the call in the process that forked this one.",
        places,
    )
