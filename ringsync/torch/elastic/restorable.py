"""What a state and each handled part of it have in common."""

from __future__ import annotations

from typing import NoReturn


class Restorable:
    """Can be saved, restored and made equal on all ranks; a subclass says how."""

    def save(self) -> None:
        """Keep the present state in memory.

        Raises:
            NotImplementedError: The subclass lacks it.
        """
        self._refuse("save")

    def restore(self) -> None:
        """Go back to what was saved last.

        Raises:
            NotImplementedError: The subclass lacks it.
        """
        self._refuse("restore")

    def sync(self) -> None:
        """Give every rank the state of rank 0, and keep it.

        Raises:
            NotImplementedError: The subclass lacks it.
        """
        self._refuse("sync")

    def reset(self) -> None:
        """Adapt to a new world; there is nothing to adapt unless a subclass says so."""

    def _refuse(self, method: str) -> NoReturn:
        name = type(self).__name__
        raise NotImplementedError(f"[elastic] {name}.{method} is missing. Define it.")
