"""Equal starts: one rank's parameters and optimizer state on all ranks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from ringsync.arrays import Array, as_target
from ringsync.autograd import Parameter
from ringsync.collectives import broadcast_async_
from ringsync.collectives.call import check_root, told_as
from ringsync.device_arrays import DeviceArray
from ringsync.errors import ConfigError, MismatchError
from ringsync.group import ProcessGroup, ranks_of
from ringsync.handle import wait_all
from ringsync.namespaces import device_of
from ringsync.nn import Module
from ringsync.objects import allgather_object, broadcast_object
from ringsync.parallel.layout import TensorSpec, check_equal_layout
from ringsync.parallel.optimizer import DistributedOptimizer
from ringsync.parallel.updates import add_equal_start
from ringsync.words import error_in_line, kind_of


class Stateful(Protocol):
    """Whatever has a state that can be read and restored."""

    def state_dict(self) -> dict[str, object]:
        """Return the state."""

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Restore a state."""


def broadcast_parameters(
    parameters: Module | Iterable[Parameter] | Mapping[str, Array],
    root: int = 0,
    *,
    group: ProcessGroup | None = None,
) -> None:
    """Overwrite every rank's parameters with `root`'s.

    Args:
        parameters: A module, its parameters, or named arrays; the same names, shapes and dtypes on
            every rank.
        root: The rank whose values all get, by its number in the world, of a group as well.
        group: As for `allreduce`.

    Raises:
        ConfigError: `parameters` is none of these, or `root` does not take part.
        MismatchError: Ranks hold different parameters, and the first difference is named; or they
            named different roots, or one has joined.
        PeerLostError: A rank died.
        TimedOutError: Not complete in time.

    Cost: (n-1) * the parameters' bytes sent by `root`.
    """
    check_root("broadcast_parameters", root, group)  # or the call below would name itself
    named = _named_arrays(parameters)
    specs = [_spec(name, array) for name, array in named]
    check_equal_layout(specs, "broadcast_parameters", group)
    with told_as("broadcast_parameters"):
        wait_all(
            [
                broadcast_async_(array, root, name=f"parameter.{name}", group=group)
                for name, array in named
            ]
        )
        add_equal_start(group)


def broadcast_optimizer_state(
    optimizer: Stateful, root: int = 0, *, group: ProcessGroup | None = None
) -> None:
    """Give every rank's optimizer the state and the settings of `root`'s.

    Args:
        optimizer: Anything with `state_dict` and `load_state_dict`, wrapped or not; made alike on
            every rank, apart from the settings that its state holds (`lr` of SGD, for
            example, and `momentum` if all have some) and from whether it is wrapped.
        root: The rank whose state all get, by its number in the world, of a group as well.
        group: As for `allreduce`.

    Raises:
        ConfigError: `optimizer` has no state, `root` does not take part, or its state cannot be
            pickled.
        MismatchError: A rank's optimizer, or what it wraps, is of another class than `root`'s, or
            cannot take its state, and the first such rank is named, on every rank alike; or ranks
            named different roots, or one has joined.
        PeerLostError: A rank died.
        TimedOutError: Not complete in time.

    Cost: (n-1) * the state's pickled size sent by `root`, and a small message of every rank.
    """
    words = ("state_dict", "load_state_dict")
    has_state = all(callable(getattr(optimizer, word, None)) for word in words)
    if not has_state or isinstance(optimizer, type):
        raise ConfigError(
            f"[broadcast_optimizer_state] {kind_of(optimizer)} is no optimizer; one with "
            "state_dict() and load_state_dict() is expected. Pass, for example, "
            "optim.SGD(net.parameters(), lr=0.1)."
        )
    check_root("broadcast_optimizer_state", root, group)
    bare = optimizer.bare if isinstance(optimizer, DistributedOptimizer) else optimizer
    with told_as("broadcast_optimizer_state"):
        kind, state = broadcast_object((type(bare).__name__, bare.state_dict()), root, group=group)
        unlike = allgather_object(_load(bare, kind, state), group=group)
        # Whatever was passed, wrapped or not; and after an error, too: some may have loaded it.
        add_equal_start(group)
    ranks = ranks_of("broadcast_optimizer_state", group)
    for rank, reason in zip(ranks, unlike, strict=True):
        if reason:
            raise MismatchError(
                f"[broadcast_optimizer_state] rank {rank} cannot take the state of rank {root} "
                f"({reason}). Make the optimizer alike on all ranks."
            )


def _load(optimizer: Stateful, kind: str, state: dict[str, object]) -> str:
    """Why the state of an optimizer of class `kind` cannot be taken; "" when it has been."""
    own = type(optimizer).__name__
    if own != kind:
        return f"it is that of class {kind}, the optimizer there is of class {own}"
    try:
        optimizer.load_state_dict(state)
    except Exception as error:  # whatever the optimizer raises: the others wait to hear of it
        return error_in_line(error)
    return ""


def _spec(name: str, array: Array | DeviceArray) -> TensorSpec:
    if isinstance(array, DeviceArray):
        if not array.is_described:
            return TensorSpec(name, (), f"on device kind {array.device}")
        return TensorSpec(name, array.shape, array.dtype_name, "cuda")
    return TensorSpec(name, array.shape, array.dtype.name, device_of(array))


def _named_arrays(
    parameters: Module | Iterable[Parameter] | Mapping[str, Array],
) -> Sequence[tuple[str, Array | DeviceArray]]:
    if isinstance(parameters, Module):
        return [(name, parameter.data) for name, parameter in parameters.named_parameters()]
    if isinstance(parameters, Mapping):
        return [
            (name, as_target(array, f"broadcast_parameters: {name!r}"))
            for name, array in sorted(parameters.items())
        ]
    listed = list(parameters) if isinstance(parameters, Iterable) else [parameters]
    wrong = [item for item in listed if not isinstance(item, Parameter)]
    if wrong:
        raise ConfigError(
            f"[broadcast_parameters] {kind_of(wrong[0])} is no Parameter; a module, its "
            "parameters or a dict of arrays is expected. Pass, for example, net."
        )
    return [(f"{i}.{parameter.name}", parameter.data) for i, parameter in enumerate(listed)]
