"""Parameters that were frozen when their optimizer began to watch, and may not stay so.

What is unfrozen is exchanged by itself for a step; the optimizer watches it from the next one on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ringsync.errors import RingsyncError
from ringsync.torch.exchange import Exchange
from ringsync.torch.hooks import weak_hook


class FrozenParameters:
    """Those of one optimizer that had no need of a gradient, and what becomes of them in a step."""

    def __init__(
        self,
        parameters: Sequence[torch.Tensor],
        went_on: Callable[[bool], None],
    ) -> None:
        """Keep them.

        Args:
            parameters: Frozen ones.
            went_on: Told of a gradient that has changed after its exchange, and whether it is
                another one.
        """
        self._parameters = parameters
        self._went_on = went_on
        self._hooks: dict[torch.Tensor, Any] = {}
        self._left: dict[torch.Tensor, torch.Tensor | None] = {}
        self._is_exchanged = False
        self._exchange: Exchange | None = None  # under way, or interrupted

    def has_unfrozen(self) -> bool:
        """Tell whether any needs a gradient by now.

        Returns:
            True if so.
        """
        return bool(self._unfrozen())

    def is_reached(self) -> bool:
        """Tell whether all that need a gradient by now have one, be it kept from another step.

        Returns:
            True if so, and if there are none.
        """
        return all(parameter.grad is not None for parameter in self._unfrozen())

    def exchange(self, exchange_of: Callable[[list[torch.Tensor]], Exchange]) -> None:
        """Exchange the gradients of those that need one, once in a step.

        Args:
            exchange_of: Makes an exchange of some.

        Raises:
            HorovodInternalError: As for `Exchange.finish`.
        """
        unfrozen = self._unfrozen()
        if self._is_exchanged or not unfrozen:
            return
        self._exchange = exchange = exchange_of(unfrozen)
        exchange.finish()
        self._exchange = None
        self._is_exchanged = True
        exchange.warn()
        for parameter in unfrozen:
            self._left[parameter] = parameter.grad
            if parameter not in self._hooks:
                hooked: Any = parameter  # torch does not type what follows
                hook = hooked.register_post_accumulate_grad_hook(weak_hook(self._accumulated))
                self._hooks[parameter] = hook

    def reset(self, exchange_of: Callable[[list[torch.Tensor]], Exchange], is_begun: bool) -> None:
        """Begin a new step, once all that peers wait for has been sent.

        Args:
            exchange_of: As for `exchange`.
            is_begun: The others that the optimizer watches have a step under way.

        Raises:
            HorovodInternalError: What was begun cannot be ended.
        """
        unfrozen = self._unfrozen()
        try:
            if is_begun and unfrozen and not self._is_exchanged and self._exchange is None:
                self._exchange = exchange_of(unfrozen)
                self._exchange.begin()
            if self._exchange is not None:
                self._exchange.end()
        except RingsyncError:  # after Ctrl-C it is still to be ended
            self.forget()
            raise
        self.forget()

    def forget(self) -> None:
        """Begin a new step, whatever has become of the last."""
        self._exchange = None
        self._is_exchanged = False
        self._left.clear()

    def close(self) -> None:
        """Let go of them."""
        for hook in self._hooks.values():
            hook.remove()
        self._hooks.clear()

    def _unfrozen(self) -> list[torch.Tensor]:
        return [parameter for parameter in self._parameters if parameter.requires_grad]

    def _accumulated(self, parameter: torch.Tensor) -> None:
        # Its sum with what others have contributed already would differ from rank to rank.
        if parameter in self._left:
            self._went_on(parameter.grad is not self._left[parameter])
