"""What layers and networks have in common: parameters by name, state, modes, seeds.

Not a layer itself, and no run-time magic: a module is a plain class whose parts are its attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Self

import numpy as np

from ringsync.autograd import Array, Parameter, Tensor, TensorLike, as_tensor
from ringsync.errors import ConfigError, MismatchError
from ringsync.namespaces import as_array, beside, check_device, to_device
from ringsync.words import kind_of


class Module:
    """Base of layers and networks; a subclass defines `forward`.

    Parameters and modules assigned as attributes, also inside lists, tuples and dicts, are found in
    the order of assignment. A module with parameters of its own defines `reset` as well.

    Attributes:
        training: False after `eval()`; for layers that behave differently in training.
        forward: What the module computes, from tensors to a tensor.

    Example:
        >>> class Net(Module):
        ...     def __init__(self) -> None:
        ...         self.hidden, self.out = Linear(64, 32), Linear(32, 10)
        ...
        ...     def forward(self, x: Tensor) -> Tensor:
        ...         return self.out(relu(self.hidden(x)))
    """

    training: bool = True
    forward: Callable[..., Tensor]

    def __call__(self, *inputs: TensorLike) -> Tensor:
        """Run `forward`; arrays become constant tensors."""
        return self.forward(*(as_tensor(one) for one in inputs))

    def reset(self, generator: np.random.Generator) -> None:  # noqa: ARG002 - for those who draw
        """Draw this module's own parameters, not its children's, from `generator`.

        Args:
            generator: Shared by the whole network, so the order of draws is part of the result.

        Raises:
            ConfigError: It has parameters and does not say how to draw them.
        """
        own = [name for name, part in self.parts() if isinstance(part, Parameter)]
        if own:
            raise ConfigError(
                f"[nn] {type(self).__name__} has parameters {own} of its own and no way to draw"
                " them. Define reset(self, generator)."
            )

    def parts(self) -> Iterator[tuple[str, Parameter | Module]]:
        """Find the direct parts.

        Yields:
            Name and part, in the order of assignment.
        """
        for name, value in vars(self).items():
            yield from _parts_of(name, value)

    def modules(self) -> Iterator[Module]:
        """Walk the network.

        Yields:
            This module and all below it, parents first, each once.
        """
        seen: set[int] = set()
        waiting: list[Module] = [self]
        while waiting:
            module = waiting.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield module
            below = [part for _, part in module.parts() if isinstance(part, Module)]
            waiting.extend(reversed(below))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Find every parameter by its dotted path from this module.

        Yields:
            Path and parameter; one that is shared comes once, under its first path.
        """
        seen: set[int] = set()
        waiting: list[tuple[str, Parameter | Module]] = [("", self)]
        while waiting:
            path, part = waiting.pop()
            if id(part) in seen:
                continue
            seen.add(id(part))
            if isinstance(part, Parameter):
                yield path, part
                continue
            prefix = f"{path}." if path else ""
            waiting.extend(reversed([(prefix + name, below) for name, below in part.parts()]))

    def parameters(self) -> list[Parameter]:
        """List every parameter and name it by its path.

        Returns:
            The parameters, in the order of `named_parameters`. Each keeps the longest path under
            which it was listed, so asking a part of a network does not rename anything.
        """
        named = list(self.named_parameters())
        for path, parameter in named:
            if path.endswith(parameter.name):
                parameter.name = path
        return [parameter for _, parameter in named]

    def state_dict(self) -> dict[str, Array]:
        """Copy all parameters' values.

        Returns:
            Dotted path to a copy of the array, on the host; fit for `numpy.savez`.
        """
        return {path: to_device(one.data.copy(), "cpu") for path, one in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Write values into the existing parameters, all or none of them.

        Args:
            state: What `state_dict` of an equal network gave; dtypes are converted.

        Raises:
            MismatchError: A name is missing or unexpected, or a shape differs.
            ConfigError: `state` is no mapping.
        """
        if not isinstance(state, Mapping):
            raise ConfigError(
                f"[load_state_dict] {kind_of(state)} was given; a mapping of names to arrays is"
                f" expected. Pass what state_dict() of such a {type(self).__name__} gave."
            )
        own = dict(self.named_parameters())
        missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or unexpected:
            raise MismatchError(
                f"[load_state_dict] missing {missing}, unexpected {unexpected}; expected the names"
                f" of {type(self).__name__}. Build the network that was saved."
            )
        for path, parameter in own.items():
            if np.shape(state[path]) != parameter.shape:
                raise MismatchError(
                    f"[load_state_dict] {path!r}: shape {np.shape(state[path])} was saved, the"
                    f" parameter has {parameter.shape}. Build the network that was saved."
                )
        for path, parameter in own.items():
            np.copyto(parameter.data, beside(as_array(state[path]), parameter.data))

    def to(self, device: str) -> Self:
        """Bring all parameters to a device; they stay the same parameters, for optimizers as well.

        Args:
            device: "cpu", or "cuda": CuPy's current GPU.

        Returns:
            The module itself.

        Raises:
            ConfigError: There is no such device, or CuPy cannot use it.

        Example:
            >>> net = mlp([64, 32, 10]).to("cuda")
            >>> logits = net(Tensor(x).to("cuda"))
        """
        check_device(device)
        for _, parameter in self.named_parameters():
            parameter.move(device)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set the mode of this module and all below it.

        Args:
            mode: True for training.

        Returns:
            The module itself.
        """
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Leave training mode, here and in all modules below.

        Returns:
            The module itself.
        """
        return self.train(False)

    def initialize(self, seed: int) -> Self:
        """Draw every parameter anew, in order, from one generator: equal seeds, equal networks.

        Args:
            seed: Of NumPy's default generator.

        Returns:
            The module itself.

        Raises:
            ConfigError: A module has parameters and no `reset`.
        """
        generator = np.random.default_rng(seed)
        for module in self.modules():
            module.reset(generator)
        return self


def _parts_of(name: str, value: object) -> Iterator[tuple[str, Parameter | Module]]:
    if isinstance(value, Parameter | Module):
        yield name, value
    elif isinstance(value, list | tuple):
        for position, one in enumerate(value):
            yield from _parts_of(f"{name}.{position}", one)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _parts_of(f"{name}.{key}", one)
