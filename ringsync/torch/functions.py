"""What makes ranks start alike, under the name of Horovod's module; the work is done elsewhere."""

from __future__ import annotations

from ringsync.torch.objects import allgather_object, broadcast_object
from ringsync.torch.optimizer_state import broadcast_optimizer_state
from ringsync.torch.parameters import broadcast_parameters

__all__ = [
    "allgather_object",
    "broadcast_object",
    "broadcast_optimizer_state",
    "broadcast_parameters",
]
