"""What torch.compile is told of collectives: it leaves them alone, and breaks its graph around.

torch.compiler.disable says the same, but loads the compiler when it is called, and costs a
microsecond in each eager call.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

_REASON = "ringsync's collectives talk to other ranks, which no graph can"


def keep_out_of_graphs(*functions: Callable[..., Any]) -> None:
    """Have torch.compile neither trace functions nor compile what they call.

    Args:
        functions: Python's own.
    """
    for function in functions:
        # What torch.compiler.disable leaves on a function for the tracer.
        vars(function).update(_torchdynamo_disable=True, _torchdynamo_disable_msg=_REASON)
        with contextlib.suppress(ImportError):  # of older torch: there they are compiled in vain
            _skip_frames(function)


def _skip_frames(function: Any) -> None:
    # Only those who import it can tell whether this torch has it.
    from torch._C._dynamo.eval_frame import (  # noqa: PLC0415
        _FrameAction,
        _FrameExecStrategy,
        set_code_exec_strategy,
    )

    skip = _FrameAction.SKIP
    set_code_exec_strategy(function.__code__, _FrameExecStrategy(skip, skip))
