"""Asks a Python process for the stacks of all its threads, and says why where it cannot answer.

In a rank startup/sitecustomize.py lets it answer; launcher and guards do so by themselves.
"""

from __future__ import annotations

import faulthandler
import signal

from ringsync.launch.descendants import send_signal

_SIGNAL = signal.SIGRTMIN + 7  # startup/sitecustomize.py names the same one
_STDERR = 2


def show_stacks_when_asked() -> None:
    """Let this process answer, on its stderr; it need not even hold the interpreter's lock."""
    faulthandler.register(_SIGNAL, file=_STDERR, all_threads=True)


def ask_for_stacks(pid: int) -> str | None:
    """Ask one process, unless it would not survive that or could not answer.

    Args:
        pid: A child that was not reaped yet.

    Returns:
        None if it was asked; else why not, to be put after its name.
    """
    facts = _facts_of(pid)
    state = facts["State"][0]
    if state == "T":
        return "is stopped (SIGSTOP or SIGTSTP), so it shows no stacks; kill -CONT lets it go on"
    if state == "t":
        return "is held by a debugger, so it shows no stacks"
    if state in "ZX":
        return "has ended"
    # Without a handler the signal would end it.
    if not int(facts["SigCgt"], 16) >> (_SIGNAL - 1) & 1:
        return "shows no stacks (no Python, or not as far as its start-up code)"
    send_signal([pid], _SIGNAL)
    return None


def is_stopped(pid: int) -> bool:
    """Tell whether a process is held by SIGSTOP or SIGTSTP.

    Args:
        pid: As for `ask_for_stacks`.

    Returns:
        False of one that has ended.
    """
    return _facts_of(pid)["State"][0] == "T"


def _facts_of(pid: int) -> dict[str, str]:
    try:
        # Not through pathlib: to import it takes a guard longer than all that it does.
        with open(f"/proc/{pid}/status") as file:  # noqa: PTH123
            lines = file.read().splitlines()
    except OSError:
        return {"State": "X (dead)"}
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)
