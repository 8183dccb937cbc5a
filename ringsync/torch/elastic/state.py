"""The state of a torch training: models, optimizers, samplers and plain objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ringsync.torch import devices
from ringsync.torch.basics import rank
from ringsync.torch.elastic.base import ObjectState
from ringsync.torch.elastic.handlers import (
    ModelStateHandler,
    OptimizerStateHandler,
    SamplerStateHandler,
    StateHandler,
    find_handler,
    get_handler_registry,
    set_handler_registry,
)
from ringsync.torch.functions import broadcast_object
from ringsync.torch.waiting import settle_calls, wait_for_ranks

__all__ = [
    "ModelStateHandler",
    "OptimizerStateHandler",
    "SamplerStateHandler",
    "StateHandler",
    "TorchState",
    "get_handler_registry",
    "set_handler_registry",
]


class TorchState(ObjectState):
    """What `run` keeps of a torch training; each part is an attribute: `state.model`."""

    def __init__(
        self,
        model: torch.nn.Module | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        **kwargs: Any,
    ) -> None:
        """Take the parts as they are, and keep a copy of their state.

        Args:
            model: Attribute `model`.
            optimizer: Attribute `optimizer`.
            **kwargs: Further attributes: models, optimizers, samplers, or plain objects that can be
                pickled.
        """
        parts = {**kwargs, "model": model, "optimizer": optimizer}
        found = {name: find_handler(value) for name, value in parts.items()}
        handlers = {name: handler for name, handler in found.items() if handler is not None}
        self._handlers: dict[str, StateHandler] = handlers
        for name, handler in handlers.items():
            object.__setattr__(self, name, handler.value)
        plain = {name: value for name, value in parts.items() if name not in handlers}
        super().__init__(broadcast_object, rank, **plain)

    def commit(self) -> None:
        """Keep the present state, unless a collective has failed; then see whether hosts changed.

        All ranks call this. Waits for what calls have given to devices, for the GPUs that the state
        lies on, and for all ranks to come here.

        Raises:
            HostsUpdatedInterrupt: As for `check_host_updates`.
            HorovodInternalError: A rank died, or a call failed on a GPU after it had returned; what
                was kept before still is.
        """
        settle_calls()  # or an exchange may yet fail
        devices.wait_for(self._tensors())
        wait_for_ranks("state.commit()")
        super().commit()

    def _tensors(self) -> Iterator[torch.Tensor]:
        handled = [handler.value for handler in self._handlers.values()]
        states: list[object] = [one.state_dict() for one in handled if hasattr(one, "state_dict")]
        return _tensors_in([*states, *self._values().values()])

    def save(self) -> None:
        """Keep the present state of all parts in memory."""
        for handler in self._handlers.values():
            handler.save()
        super().save()

    def restore(self) -> None:
        """Bring all parts back to what was saved last."""
        for handler in self._handlers.values():
            handler.restore()
        super().restore()

    def sync(self) -> None:
        """Give every rank the parts of rank 0, and keep them.

        Raises:
            HorovodInternalError: A rank died.
        """
        for handler in self._handlers.values():
            handler.sync()
        super().sync()

    def reset(self) -> None:
        """Adapt all parts to a new world."""
        for handler in self._handlers.values():
            handler.reset()
        super().reset()

    def __setattr__(self, name: str, value: Any) -> None:
        """Handle another model, optimizer or sampler from now on, when it is put in a part's place.

        Args:
            name: Of the attribute.
            value: Its new value.
        """
        handlers: dict[str, StateHandler] = self.__dict__.get("_handlers", {})
        if name in handlers:
            handlers[name].set_value(value)
        super().__setattr__(name, value)


def _tensors_in(node: object) -> Iterator[torch.Tensor]:
    if isinstance(node, torch.Tensor):
        yield node
    elif isinstance(node, Mapping | list | tuple):
        for one in node.values() if isinstance(node, Mapping) else node:
            yield from _tensors_in(one)
