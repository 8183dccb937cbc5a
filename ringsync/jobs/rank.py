"""The program of a rank that runs a function: take the call, make it, hand back what came of it.

Everything else about being a rank is as in a script; the function calls `init` itself.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from types import TracebackType

from ringsync.config import read_world
from ringsync.jobs.channels import read_message, write_message
from ringsync.jobs.failure import write_failure
from ringsync.jobs.pickling import read_call, write_result

CALL, RESULT, FAILURE = b"C", b"R", b"F"


def main() -> None:
    """Run the call whose channel is the first argument, and answer through one of the others."""
    call, *answers = (int(word) for word in sys.argv[1:])
    world = read_world()
    answer = answers[world.rank]
    for descriptor in (call, answer):
        os.set_inheritable(descriptor, False)  # what the function starts has no part in this
    told: list[BaseException] = []
    sys.excepthook = partial(_show_untold, told)
    try:
        result = _run(call)
        who = f"rank {world.rank} of {world.size}"
        write_message(answer, RESULT, lambda file: write_result(result, file, who))
    except SystemExit:
        raise
    except BaseException as error:
        failure = error
        write_message(answer, FAILURE, lambda file: write_failure(failure, file, __name__))
        told.append(error)
        raise  # so that other ranks learn of it, as they do from a script


def _show_untold(
    told: list[BaseException],
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
) -> None:
    """Print a traceback, unless the caller will raise the exception."""
    if error not in told:
        sys.__excepthook__(kind, error, trace)


def _run(descriptor: int) -> object:
    with read_message(descriptor) as (_, file):
        call = read_call(file)
    return call.fn(*call.args, **call.kwargs)
