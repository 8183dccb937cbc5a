"""Functions that run in the background, under Horovod's name for them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ringsync.words import in_line


def in_thread(
    target: Callable[..., Any],
    args: Sequence[Any] = (),
    name: str | None = None,
    daemon: bool = True,
    silent: bool = False,
) -> threading.Thread:
    """Start a function in a thread of its own.

    Args:
        target: The function.
        args: Its arguments.
        name: Of the thread.
        daemon: Whether the thread ends with the program.
        silent: Whether its exceptions go untold.

    Returns:
        The thread, which is running.

    Raises:
        ValueError: `args` is no list of arguments.
    """
    if isinstance(args, str | bytes) or not isinstance(args, Sequence):
        raise ValueError(  # noqa: TRY004 - as in Horovod
            f"[horovod] in_thread: args={in_line(args)} is no tuple. Write args=(x,)."
        )

    def run_untold() -> None:
        with contextlib.suppress(Exception):  # what `silent` asks for
            target(*args)

    thread = threading.Thread(
        target=run_untold if silent else target,
        args=() if silent else args,
        name=name,
        daemon=daemon,
    )
    thread.start()
    return thread
