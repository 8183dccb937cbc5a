"""What every Python process of a job does first: it lets its guard ask for its stacks.

The launcher puts this directory before PYTHONPATH, and Python imports a module of this name by
itself, so a script needs no line for it. faulthandler writes from inside the signal's handler, in
C: whoever holds the interpreter's lock, and whatever it waits for.
"""

import sys

_STDERR = 2


def _register() -> None:
    try:
        import faulthandler  # noqa: PLC0415 - an interpreter without it starts all the same
        import signal  # noqa: PLC0415 - likewise
    except ImportError:
        return
    # stacks.py names the same signal. A real-time one, because scripts use SIGUSR1 themselves.
    faulthandler.register(signal.SIGRTMIN + 7, file=_STDERR, all_threads=True)


def _hand_over() -> None:
    """Let the module of this name that would have been found without us do its work."""
    here = __file__.rpartition("/")[0]
    sys.path[:] = [entry for entry in sys.path if entry != here]
    mine = sys.modules.pop(__name__)
    try:
        __import__(__name__)
    except ModuleNotFoundError as error:
        if error.name != __name__:
            raise
        sys.modules[__name__] = mine


_register()
_hand_over()
