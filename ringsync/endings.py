"""What other ranks and whoever runs the job learn of this process when something goes wrong in it.

Its last words, if an exception ends it; its stacks, when it keeps others waiting.
"""

from __future__ import annotations

import atexit
import faulthandler
import logging
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from ringsync._native import GAVE_UP, STACKS_SIGNAL
from ringsync.errors import PeerLostError, RingsyncError, TimedOutError
from ringsync.world import World

if TYPE_CHECKING:
    from ringsync._native import Engine

_LOGGER = logging.getLogger("ringsync")

# For what devices have been given and somebody has ordered a stream behind: moments, unless one
# stands still.
_SETTLE_S = 1.0

# EX_TEMPFAIL of sysexits.h: a job that stood still may be tried again.
STALL_CODE = 75

# An exception that nobody catches ends a process in some 50 ms; a busy machine takes longer.
_UNCAUGHT_S = 1.0


class Endings:
    """Hooks of one process, from `init` to `shutdown`."""

    def __init__(self, engine: Engine, world: World) -> None:
        """Set the hooks; those that are set already are called as well.

        Args:
            engine: Tells the other ranks.
            world: Place of this process in its job.
        """
        self._engine = engine
        self._world = world
        self._has_spoken = False
        self._before = sys.excepthook
        self._before_in_thread = threading.excepthook
        sys.excepthook = self._on_exception
        threading.excepthook = self._on_exception_in_thread
        fd = engine.stacks_fd()
        if fd >= 0:
            # In C, so that it answers whoever holds the interpreter.
            faulthandler.register(STACKS_SIGNAL, file=fd, all_threads=True)

    def remove(self) -> None:
        """Put back what was there before, unless another one has come on top.

        A stall that is on its way out keeps its exit code: scripts shut down in a `finally`.
        """
        if self._engine.stacks_fd() >= 0:
            faulthandler.unregister(STACKS_SIGNAL)
        # Bound methods are equal, not identical; to keep one would keep this object for ever.
        if sys.excepthook == self._on_exception:
            is_stall = _is_stall(sys.exception())
            sys.excepthook = partial(_show, self._before) if is_stall else self._before
        if threading.excepthook == self._on_exception_in_thread:
            threading.excepthook = self._before_in_thread

    def say_ended(self, is_process_ending: bool) -> None:
        """Tell of an end that no exception has brought about, as far as is known.

        Args:
            is_process_ending: With the engine, so that peers that still need this rank are told.
        """
        # Of an exception of which another hook was told, Python itself keeps a note.
        if self._has_spoken or hasattr(sys, "last_value") or sys.exception() is not None:
            return
        try:
            self._engine.settle(_SETTLE_S)
        except RingsyncError as error:
            _LOGGER.warning(
                "[shutdown] rank %d of %d ends after a call that has failed on its device: %s",
                self._world.rank,
                self._world.size,
                error,
            )
        count, name = self._engine.in_flight()
        if count:
            _LOGGER.warning(
                "[shutdown] rank %d of %d ends with %d %s in flight%s. Wait for all handles first.",
                self._world.rank,
                self._world.size,
                count,
                "operation" if count == 1 else "operations",
                name and f", {name!r} among them",
            )
        if is_process_ending:
            self._say("its script, without taking part")

    def give_up(self, error: BaseException, cause: str) -> None:
        """Remove the hooks, and end the engine of a rank that could not start.

        Its peers are told if this process lives on, but not before it has had the time to end: they
        could end first, and whoever watches the job would take the wrong one for the first to fail.

        Args:
            error: What is being raised.
            cause: What peers that still need this rank are told besides.
        """
        words = _words(error)
        self._say(words)
        self.remove()
        _end_unless_uncaught(self._engine, f"{cause}: {words}")

    def _on_exception(
        self,
        kind: type[BaseException],
        error: BaseException,
        trace: TracebackType | None,
    ) -> None:
        self._say(_words(error))
        _show(self._before, kind, error, trace)

    def _on_exception_in_thread(self, args: threading.ExceptHookArgs) -> None:
        # The program goes on; if it ends for want of this thread, these were the last words.
        if args.exc_value is not None:
            self._say(_words(args.exc_value) + " in a thread")
        self._before_in_thread(args)

    def _say(self, words: str) -> None:
        self._has_spoken = True
        self._engine.say_last_words(words)


def _show(
    before: Callable[[type[BaseException], BaseException, TracebackType | None], object],
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
) -> None:
    before(kind, error, trace)
    # At a prompt nobody wants to be thrown out.
    if _is_stall(error) and not hasattr(sys, "ps1"):
        # The interpreter exits with the code of a SystemExit that a hook raises.
        raise SystemExit(STALL_CODE)


def _is_stall(error: BaseException | None) -> bool:
    """Tell whether a job stood still, whoever's patience ended first."""
    chain: list[BaseException] = []
    cause = error
    while cause is not None and cause not in chain:  # `raise e from e` is its own
        chain.append(cause)
        cause = cause.__cause__  # of HorovodInternalError
    return any(
        isinstance(one, TimedOutError)
        or (isinstance(one, PeerLostError) and one.cause.startswith(GAVE_UP))
        for one in chain
    )


def _end_unless_uncaught(engine: Engine, cause: str) -> None:
    def tell() -> None:
        atexit.unregister(leave)
        engine.shutdown(cause)

    def leave() -> None:
        timer.cancel()
        timer.join(_UNCAUGHT_S)  # or it would hold the engine while the interpreter ends
        engine.shutdown("")  # peers see the process end

    timer = threading.Timer(_UNCAUGHT_S, tell)
    timer.daemon = True
    atexit.register(leave)
    timer.start()


def _words(error: BaseException) -> str:
    """One line: the exception, and where the program's own code was."""
    text = "".join(traceback.format_exception_only(error)[-1:])
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return text.partition("\n")[0] + where
