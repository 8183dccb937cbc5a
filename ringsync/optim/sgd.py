"""Stochastic gradient descent.

Not adaptive methods, nor schedules: those change `lr` from outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ringsync.autograd import Array, Parameter
from ringsync.errors import ConfigError
from ringsync.namespaces import beside
from ringsync.optim.optimizer import Optimizer, check_number


class SGD(Optimizer):
    """Gradient descent with momentum, Nesterov's variant and weight decay.

    With g = grad + weight_decay * data: velocity = momentum * velocity + g, then
    data -= lr * velocity; Nesterov's takes momentum * velocity + g in place of velocity. The
    velocity does not contain lr, so lr may change between steps.

    Cost: about one pass over parameters, gradients and velocities per term of the formula.
    Source: Sutskever, Martens, Dahl & Hinton, ICML 2013 (momentum in deep learning).

    Example:
        >>> opt = SGD(net.parameters(), lr=0.1, momentum=0.9)
        >>> opt.zero_grad()
        >>> cross_entropy(net(x), y).backward()
        >>> opt.step()
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        """Keep the parameters and, with momentum, make a velocity of zeros for each.

        Args:
            parameters: Each once.
            lr: Learning rate.
            momentum: From 0 to below 1.
            weight_decay: Pull towards 0, added to the gradient.
            nesterov: Look ahead along the velocity; needs momentum.

        Raises:
            ConfigError: A setting is out of range or not finite, or the parameters are unusable.
        """
        super().__init__(parameters, lr)
        self._velocity: list[Array] = []
        self._configure(
            {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
        )

    def _settings(self) -> Mapping[str, float]:
        return {
            **super()._settings(),
            "momentum": self._momentum,
            "weight_decay": self._weight_decay,
            "nesterov": self._nesterov,
        }

    def _configure(self, settings: Mapping[str, float]) -> None:
        momentum = check_number("momentum", settings["momentum"])
        weight_decay = check_number("weight_decay", settings["weight_decay"])
        nesterov = bool(settings["nesterov"])
        if not 0 <= momentum < 1:
            raise ConfigError(f"[sgd] momentum={momentum}; expected 0 <= momentum < 1.")
        if weight_decay < 0:
            raise ConfigError(f"[sgd] weight_decay={weight_decay}; expected 0 or more.")
        if nesterov and momentum == 0:
            raise ConfigError(
                "[sgd] nesterov=True with momentum=0; expected some. Set momentum=0.9."
            )
        super()._configure(settings)
        self._momentum, self._weight_decay, self._nesterov = momentum, weight_decay, nesterov
        if momentum and not self._velocity:
            self._velocity = [np.zeros_like(one.data) for one in self.parameters]

    def _slots(self) -> Mapping[str, list[Array]]:
        return {"velocity": self._velocity}

    def _update(self, position: int, data: Array, grad: Array) -> None:
        direction = grad
        if self._weight_decay:
            direction = grad + self._weight_decay * data
        if self._momentum:
            # It follows its parameter to another device.
            velocity = self._velocity[position] = beside(self._velocity[position], data)
            velocity *= self._momentum
            velocity += direction
            direction = self._momentum * velocity + direction if self._nesterov else velocity
        data -= self.lr * direction
