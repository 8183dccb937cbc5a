"""What every Python process of a job does first: it lets its guard ask for its stacks.

The launcher puts this directory before PYTHONPATH, and Python imports a module of this name by
itself, so a script needs no line for it. faulthandler writes from inside the signal's handler, in
C: whoever holds the interpreter's lock, and whatever it waits for. With `ringsyncrun --horovod` the
launcher's package of that name is put before any other as well.
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


class _AliasFinder:
    """Finds the launcher's `horovod` before one beside the script, which Python looks at first."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def find_spec(self, name: str, *_: object) -> object:
        if name != "horovod":
            return None
        from importlib.machinery import PathFinder  # noqa: PLC0415 - for those who ask for it

        return PathFinder.find_spec(name, [self._folder])


def _prefer_alias() -> None:
    folder = __file__.rpartition("/launch/")[0] + "/compat"
    if folder in sys.path:
        sys.meta_path.insert(0, _AliasFinder(folder))  # type: ignore[arg-type]  # as import calls it


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
_prefer_alias()
_hand_over()
