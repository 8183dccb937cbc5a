"""How each kind of thing is saved, restored and made equal on all ranks.

`set_handler_registry` adds kinds; what no handler knows is treated as a plain object.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import torch

from ringsync.torch.elastic.restorable import Restorable
from ringsync.torch.elastic.sampler import ElasticSampler
from ringsync.torch.functions import (
    broadcast_object,
    broadcast_optimizer_state,
    broadcast_parameters,
)


class StateHandler(Restorable):
    """Saves, restores and exchanges one value of a state; a subclass says how."""

    def __init__(self, value: Any) -> None:
        """Handle a value.

        Args:
            value: What belongs to the state.
        """
        self.value = value

    def set_value(self, value: Any) -> None:
        """Handle another value from now on, and save it.

        Args:
            value: Of the same kind.
        """
        self.value = value
        self.save()


class _StateDictHandler(StateHandler):
    """Saves what `state_dict` gives."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.save()

    def save(self) -> None:
        self._saved = copy.deepcopy(self.value.state_dict())

    def restore(self) -> None:
        # A copy: optimizers keep the very tensors that they load, and would go on to write them.
        self.value.load_state_dict(copy.deepcopy(self._saved))


class ModelStateHandler(_StateDictHandler):
    """Handles a module: its parameters and buffers."""

    def sync(self) -> None:
        """Overwrite every rank's tensors with rank 0's, and keep them."""
        broadcast_parameters(self.value.state_dict(), root_rank=0)
        self.save()


class OptimizerStateHandler(_StateDictHandler):
    """Handles an optimizer: its state and options."""

    def sync(self) -> None:
        """Give every rank the state and options of rank 0, and keep them."""
        broadcast_optimizer_state(self.value, root_rank=0)
        self.save()


class SamplerStateHandler(_StateDictHandler):
    """Handles an `ElasticSampler`: how much of the epoch is done."""

    def sync(self) -> None:
        """Give every rank the place of rank 0, deal out what is left, and keep the place."""
        self.value.load_state_dict(broadcast_object(self.value.state_dict()))
        self.save()

    def reset(self) -> None:
        """Deal out what is left among the ranks of the new world."""
        self.value.reset()


Registry = list[tuple[type, type[StateHandler]]]


class _Registered:
    """Which handler goes with which type; the first that fits is taken."""

    registry: ClassVar[Registry] = [
        (torch.nn.Module, ModelStateHandler),
        (torch.optim.Optimizer, OptimizerStateHandler),
        (ElasticSampler, SamplerStateHandler),
    ]


def get_handler_registry() -> Registry:
    """Return which handler goes with which type.

    Returns:
        Pairs of both, of which the first that fits a value is taken; the list itself, not a copy.
    """
    return _Registered.registry


def set_handler_registry(registry: Registry) -> None:
    """Say which handler goes with which type, for states made from now on.

    Args:
        registry: Pairs of both, of which the first that fits a value is taken.
    """
    _Registered.registry = registry


def find_handler(value: object) -> StateHandler | None:
    """Make the handler of a value.

    Args:
        value: What belongs to a state.

    Returns:
        Its handler; None for a plain object.
    """
    for kind, handler in get_handler_registry():
        if isinstance(value, kind):
            return handler(value)
    return None
