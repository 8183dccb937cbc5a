"""What all optimizers share: which parameters, which settings, which state.

Not an update rule, and nothing of ranks: gradients are complete when `step` is called.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TypeAlias, cast

import numpy as np

from ringsync.autograd import Array, Parameter
from ringsync.errors import ConfigError, MismatchError
from ringsync.namespaces import as_array, beside, check_one_device, to_device
from ringsync.words import in_line, kind_of

State: TypeAlias = dict[str, Array | float]


class Optimizer(ABC):
    """Changes parameters in place by their gradients; a subclass defines `_update`.

    One with settings or arrays of its own defines `_settings` and `_configure`, or `_slots`, too.

    Attributes:
        parameters: What is optimised, in the order given.
    """

    parameters: list[Parameter]

    def __init__(self, parameters: Iterable[Parameter], lr: float) -> None:
        """Keep the parameters.

        Args:
            parameters: Each once.
            lr: Learning rate; may be changed at any time by assigning to `lr`.

        Raises:
            ConfigError: No parameter, one given twice, something else given, or a bad `lr`.
        """
        self.parameters = _checked(parameters)
        self.lr = lr

    @property
    def lr(self) -> float:
        """Learning rate of the next step."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        # float(): a NumPy float64 would pull float32 parameters up to float64.
        number = check_number("lr", value)
        if number <= 0:
            raise ConfigError(f"[optim] lr={value}; expected a number above 0, for example 0.1.")
        self._lr = number

    def step(self) -> None:
        """Update every parameter that has a gradient.

        Raises:
            MismatchError: A gradient was set that lies on another device than its parameter.
        """
        for position, parameter in enumerate(self.parameters):
            data, grad = parameter.data, parameter.grad
            if grad is None:
                continue
            if type(grad) is not type(data):
                check_one_device(f"step: {parameter.name!r}", data, grad)
            self._update(position, data, grad)

    def zero_grad(self) -> None:
        """Forget all gradients; costs nothing, the next backward overwrites."""
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> State:
        """Copy everything that later steps depend on, apart from the parameters.

        Returns:
            Settings under their names, arrays of the host under "slot.position"; the keys depend
            only on how the optimizer was made, never on the steps taken.
        """
        state: State = dict(self._settings())
        for slot, arrays in self._slots().items():
            copies = (to_device(array.copy(), "cpu") for array in arrays)
            state |= {f"{slot}.{i}": array for i, array in enumerate(copies)}
        return state

    def load_state_dict(self, state: Mapping[str, Array | float]) -> None:
        """Write a saved state into this optimizer, all of it or nothing.

        Args:
            state: What `state_dict` of an optimizer made alike gave; copied.

        Raises:
            MismatchError: A key is missing or unexpected, or a shape differs.
            ConfigError: `state` is no mapping, or a saved setting is none that can be used.
        """
        if not isinstance(state, Mapping):
            raise ConfigError(
                f"[load_state_dict] {kind_of(state)} was given; a mapping of keys to arrays and"
                " numbers is expected. Pass what state_dict() of one made alike gave."
            )
        own = {f"{slot}.{i}": a for slot, some in self._slots().items() for i, a in enumerate(some)}
        expected = self._settings().keys() | own.keys()
        missing, unexpected = sorted(expected - state.keys()), sorted(state.keys() - expected)
        if missing or unexpected:
            raise MismatchError(
                f"[load_state_dict] {self._unlike_settings(state)}missing {missing}, unexpected"
                f" {unexpected}; expected the keys of {type(self).__name__}. Make the optimizer as"
                " the saved one was made."
            )
        for key, array in own.items():
            if np.shape(state[key]) != array.shape:
                raise MismatchError(
                    f"[load_state_dict] {key!r}: shape {np.shape(state[key])} was saved,"
                    f" {self._name_of(key)} has {array.shape}. Build the same model."
                )
        self._configure(
            {name: check_number(name, cast(float, state[name])) for name in self._settings()}
        )
        for key, array in own.items():
            np.copyto(array, beside(as_array(state[key]), array))

    @abstractmethod
    def _update(self, position: int, data: Array, grad: Array) -> None:
        """Change `data`, of the parameter at `position`, in place; `grad` stays as it is."""

    def _settings(self) -> Mapping[str, float]:
        """Numbers that a step depends on, by name."""
        return {"lr": self.lr}

    def _configure(self, settings: Mapping[str, float]) -> None:
        """Take what `_settings` gives, all of it or, with a ConfigError, nothing."""
        self.lr = settings["lr"]

    def _slots(self) -> Mapping[str, list[Array]]:
        """State arrays by slot, one per parameter, made with the optimizer."""
        return {}

    def _unlike_settings(self, state: Mapping[str, Array | float]) -> str:
        """What two optimizers of unlike arrays were made with, which `lr` has no part in."""
        return "".join(
            f"{name}={in_line(state[name])} was saved, this one has {name}={own}; "
            for name, own in self._settings().items()
            if name != "lr" and name in state and not np.array_equal(state[name], own)
        )

    def _name_of(self, key: str) -> str:
        parameter = self.parameters[int(key.rpartition(".")[2])]
        return f"parameter {parameter.name!r}"


def check_number(name: str, value: float) -> float:
    """Turn a setting into a finite Python float.

    Args:
        name: For the message.
        value: A number.

    Returns:
        `value` as a float.

    Raises:
        ConfigError: It is no number, or not finite.
    """
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"[optim] {name}={in_line(value)}; expected a number.") from error
    if not math.isfinite(number):
        raise ConfigError(f"[optim] {name}={value}; expected a finite number.")
    return number


def _checked(parameters: Iterable[Parameter]) -> list[Parameter]:
    found = list(parameters)
    if not found:
        raise ConfigError("[optim] 0 parameters; expected some. Pass net.parameters().")
    seen: dict[int, int] = {}
    for position, one in enumerate(found):
        if not isinstance(one, Parameter):
            raise ConfigError(
                f"[optim] item {position} is {kind_of(one)}; expected a Parameter. Pass"
                " net.parameters()."
            )
        if id(one) in seen:
            raise ConfigError(
                f"[optim] {one.name!r} was given twice, at {seen[id(one)]} and {position}; it"
                " would be updated twice per step. Pass each parameter once."
            )
        seen[id(one)] = position
    return found
