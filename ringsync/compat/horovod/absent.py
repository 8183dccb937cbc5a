"""What is said of the parts of Horovod that ringsync has no counterpart for.

Which parts these are is told by the modules that call it.
"""

from __future__ import annotations

from typing import NoReturn


def refuse(part: str, instead: str) -> NoReturn:
    """Say that a part of Horovod is not there.

    Args:
        part: Its module's name.
        instead: What to do.

    Raises:
        ImportError: Always.
    """
    raise ImportError(
        f"[horovod] {part} is not there; what ringsyncrun --horovod offers is horovod.torch. "
        f"{instead} Or install Horovod, and leave --horovod out.",
        name=part,
    )
