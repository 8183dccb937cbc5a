"""Training that keeps its state between commits, under Horovod's names.

Ranks cannot be replaced yet: a run whose ranks all live can start anew, one that has lost a rank
ends with the last committed state restored.
"""

from __future__ import annotations

from ringsync.torch.elastic.base import HostUpdateResult, ObjectState, State
from ringsync.torch.elastic.handlers import (
    StateHandler,
    get_handler_registry,
    set_handler_registry,
)
from ringsync.torch.elastic.loop import run
from ringsync.torch.elastic.sampler import ElasticSampler
from ringsync.torch.elastic.state import TorchState

__all__ = [
    "ElasticSampler",
    "HostUpdateResult",
    "ObjectState",
    "State",
    "StateHandler",
    "TorchState",
    "get_handler_registry",
    "run",
    "set_handler_registry",
]
