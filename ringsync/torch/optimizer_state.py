"""One rank's optimizer state on all ranks, whatever the others have of it.

Only what the root has moves: its structure as an object, then its tensors one by one. No step is
taken to make a state, so nothing but the state changes, and on the root nothing at all, unless a
step is under way, which is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ringsync import position
from ringsync.torch import devices
from ringsync.torch.errors import HorovodInternalError, told_to_horovod
from ringsync.torch.objects import allgather_object
from ringsync.torch.parameters import broadcast_parameters
from ringsync.torch.tensors import check_tensor
from ringsync.torch.wrapped_optimizer import WrappedOptimizer
from ringsync.words import kind_of

Path = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Slot:
    """Where a tensor stands in a state that is sent without its tensors."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: str


@dataclass(frozen=True, slots=True)
class _Told:
    """What a rank tells of its optimizer; the state is the root's alone."""

    root: int
    kind: str
    shapes: list[list[tuple[int, ...]]]
    state: Any
    begun: int | None


def broadcast_optimizer_state(
    optimizer: torch.optim.Optimizer, root_rank: int, model: torch.nn.Module | None = None
) -> None:
    """Give every rank's optimizer the state and the options of `root_rank`'s.

    Afterwards ranks have exactly what the root has: one that had no state has it then, and one that
    had state loses it if the root has none. Parameters stay as they are, and so do gradients; where
    there is none there are zeros, because scripts written for Horovod find them. A step under way
    is forgotten, and its gradients are unspecified: call `zero_grad`.

    Args:
        optimizer: Any torch optimizer but LBFGS, wrapped by `DistributedOptimizer` or not.
        root_rank: The rank whose state all get.
        model: Not needed, sparse gradients or not; accepted because Horovod asks for it.

    Raises:
        ValueError: The optimizer is none, or an LBFGS, its parameters differ between ranks, there
            is no rank `root_rank`, or the state cannot be pickled.
        HorovodInternalError: Ranks named different roots or made other calls, or one died.

    Cost: (n-1) * the state's bytes sent by `root_rank`.
    """
    del model
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ValueError(  # noqa: TRY004  as of all arguments
            f"[broadcast_optimizer_state] {kind_of(optimizer)} is no optimizer of torch's. Pass "
            "the one that is to step, wrapped or not."
        )
    if isinstance(optimizer, torch.optim.LBFGS):
        raise ValueError("cannot broadcast torch.optim.LBFGS state")  # noqa: TRY004  Horovod's
    with told_to_horovod():
        is_root = position.rank() == root_rank
    tensors: list[torch.Tensor] = []
    state: Any = _without_tensors(optimizer.state_dict(), tensors) if is_root else None
    shapes = [[tuple(p.shape) for p in group["params"]] for group in optimizer.param_groups]
    wrapped = optimizer if isinstance(optimizer, WrappedOptimizer) else None
    begun = wrapped.begun_step() if wrapped is not None else None
    told = allgather_object(_Told(root_rank, type(optimizer).__name__, shapes, state, begun))
    _check(told)
    if not is_root:
        state = _with_tensors(told[root_rank].state, optimizer, tensors)
    broadcast_parameters(tensors, root_rank)
    if wrapped is not None:
        # Those that have begun one wait for what all others send of it.
        wrapped.forget_step(begun={one.begun for one in told if one.begun is not None})
    if not is_root:
        optimizer.load_state_dict(state)
        _undo_casts(optimizer, state)
    elif wrapped is not None:
        wrapped.count_anew()  # as a load does on the others
    _complete_gradients(optimizer)


def _check(told: Sequence[_Told]) -> None:
    """All ranks see the same, and raise alike."""
    first = told[0]
    for rank, one in enumerate(told):
        if one.root != first.root:
            raise HorovodInternalError(
                f"[broadcast_optimizer_state] rank {rank} named root_rank={one.root}, rank 0 named "
                f"{first.root}. Name the same on all ranks."
            )
        if one.kind != first.kind:
            raise ValueError(
                f"[broadcast_optimizer_state] rank {rank} has an optimizer {one.kind}, rank 0 "
                f"{first.kind}. Make the same on all ranks."
            )
        if one.shapes != first.shapes:
            raise ValueError(
                f"[broadcast_optimizer_state] {_difference(rank, one, first)}. Build the same "
                "model and the same parameter groups on all ranks."
            )
    if not 0 <= first.root < len(told):
        raise ValueError(
            f"[broadcast_optimizer_state] root_rank={first.root} is no rank of this world; "
            f"0 <= root_rank < {len(told)} is expected. Name one of them."
        )


def _difference(rank: int, one: _Told, first: _Told) -> str:
    own, other = ([len(group) for group in told.shapes] for told in (one, first))
    if own != other:
        return f"rank {rank} has groups of {own} parameters, rank 0 of {other}"
    g, i = next(
        (g, i)
        for g, group in enumerate(one.shapes)
        for i, shape in enumerate(group)
        if shape != first.shapes[g][i]
    )
    return (
        f"parameter {i} of group {g}: rank {rank} has shape {one.shapes[g][i]}, rank 0 has "
        f"{first.shapes[g][i]}"
    )


def _rebuilt(node: Any, leaf: Callable[[Any, Path], Any], path: Path = ()) -> Any:
    """Copy plain containers, and let `leaf` replace what they hold, in an order of their own."""
    if type(node) is dict:
        return {key: _rebuilt(value, leaf, (*path, key)) for key, value in node.items()}
    if type(node) in (list, tuple):
        return type(node)(_rebuilt(value, leaf, (*path, i)) for i, value in enumerate(node))
    return leaf(node, path)


def _without_tensors(state: Any, tensors: list[torch.Tensor]) -> Any:
    """Slots in the place of tensors, which come into `tensors`."""

    def leaf(value: Any, _: Path) -> Any:
        if not _travels(value):
            return value  # within the object
        tensors.append(value)
        # As dense as empty_like makes it: a slice of something larger arrives on its own.
        stride = torch.empty_like(value, device="meta").stride()
        return _Slot(tuple(value.shape), stride, value.dtype, devices.kind_of(value))

    return _rebuilt(state, leaf)


def _with_tensors(state: Any, optimizer: torch.optim.Optimizer, tensors: list[torch.Tensor]) -> Any:
    """Tensors in the place of slots: those that are there already where they fit, else new ones."""
    own = optimizer.state_dict()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def leaf(value: Any, path: Path) -> Any:
        if not isinstance(value, _Slot):
            return value
        tensor = _at(own, path)
        if not _fits(tensor, value):
            tensor = _made(value, path, parameters)
        tensors.append(tensor)
        return tensor

    return _rebuilt(state, leaf)


def _travels(value: Any) -> bool:
    """Whether a collective can send it; what it cannot, such as a sparse tensor, can be pickled."""
    if type(value) not in (torch.Tensor, torch.nn.Parameter):
        return False
    try:
        check_tensor(value)
    except ValueError:
        return False
    return True


def _at(node: Any, path: Path) -> Any:
    for key in path:
        try:
            node = node[key]
        except (LookupError, TypeError):
            return None
    return node


def _made(slot: _Slot, path: Path, parameters: Sequence[torch.Tensor]) -> torch.Tensor:
    """A tensor beside its parameter, unless the root has it elsewhere."""
    match path:
        case ("state", int(number), *_) if number < len(parameters):
            like = parameters[number].detach()
            if devices.kind_of(like) == slot.device:
                return like.new_empty_strided(slot.shape, slot.stride, dtype=slot.dtype)
    return torch.empty_strided(slot.shape, slot.stride, dtype=slot.dtype, device=slot.device)


def _fits(tensor: Any, slot: _Slot) -> bool:
    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tuple(tensor.shape) == slot.shape
        and tensor.stride() == slot.stride
        and tensor.dtype == slot.dtype
        and devices.kind_of(tensor) == slot.device
    )


def _undo_casts(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Put back what load_state_dict has made like its parameter: the root's is not."""
    every = [p for group in optimizer.param_groups for p in group["params"]]
    for number, sent in state["state"].items():
        if not (isinstance(number, int) and isinstance(sent, dict)):
            continue
        loaded = optimizer.state[every[number]]
        for name, value in sent.items():
            places, now = _places(value), _places(loaded.get(name))
            if len(places) == len(now) and places != now:
                loaded[name] = value


def _complete_gradients(optimizer: torch.optim.Optimizer) -> None:
    for parameter in (p for group in optimizer.param_groups for p in group["params"]):
        if parameter.requires_grad and parameter.grad is None:
            zeros = torch.zeros_like(parameter)
            # The one optimizer that refuses dense ones.
            is_sparse = isinstance(optimizer, torch.optim.SparseAdam)
            parameter.grad = zeros.to_sparse() if is_sparse else zeros


def _places(node: Any) -> list[tuple[torch.dtype, torch.device]]:
    """Dtypes and devices of the tensors in a state."""
    found: list[tuple[torch.dtype, torch.device]] = []

    def leaf(value: Any, _: Path) -> Any:
        if isinstance(value, torch.Tensor):
            found.append((value.dtype, value.device))

    _rebuilt(node, leaf)
    return found
