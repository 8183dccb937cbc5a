"""One rank's tensors on all ranks, written in place."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from ringsync.collectives.call import check_root
from ringsync.parallel.layout import TensorSpec, check_equal_layout
from ringsync.parallel.updates import add_equal_start
from ringsync.torch.broadcasting import broadcast_async_
from ringsync.torch.errors import HorovodInternalError, told_to_horovod
from ringsync.torch.handles import synchronize
from ringsync.torch.terms import spec_of
from ringsync.words import in_line, kind_of


def broadcast_parameters(
    params: Mapping[str, Any] | Iterable[torch.Tensor | tuple[str | None, Any]], root_rank: int
) -> None:
    """Overwrite every rank's tensors with `root_rank`'s.

    Args:
        params: `model.state_dict()`, `model.named_parameters()` or `model.parameters()`, or a list
            of such items; the same on every rank. None is skipped, and so is, with a warning,
            whatever else is no tensor.
        root_rank: The rank whose values all get.

    Calls follow one another, in one order on all ranks: two threads do not make them at once.

    Raises:
        ValueError: `params` is none of these, there is no such rank, or another call, or a
            broadcast of one of the names, is in flight.
        HorovodInternalError: Ranks hold different tensors or named different roots, or one died.

    Cost: (n-1) * the tensors' bytes sent by `root_rank`, and some 100 bytes a tensor before.
    """
    tensors = _named(params)
    with told_to_horovod():
        check_root("broadcast_parameters", root_rank, None)
        check_equal_layout(_specs(tensors), "broadcast_parameters")  # one more would wait for ever
    handles: list[int] = []
    try:
        for name, tensor in tensors:
            handles.append(broadcast_async_(tensor, root_rank, name))  # kept, should one fail
    finally:
        _wait_all(handles)
    with told_to_horovod():
        add_equal_start()


def _named(params: object) -> list[tuple[str | None, torch.Tensor]]:
    if isinstance(params, Mapping):
        items: Iterable[Any] = sorted(params.items())
    elif isinstance(params, Iterable) and not isinstance(params, str | bytes | torch.Tensor):
        items = (item if isinstance(item, tuple) else (None, item) for item in params)
    else:
        raise ValueError(f"invalid params of type: {type(params)}")  # noqa: TRY004  Horovod's class
    listed = list(items)
    for name, given in listed:
        if given is not None and not isinstance(given, torch.Tensor):
            warnings.warn(
                f"[broadcast_parameters] {in_line(name)} is {kind_of(given)} and stays each rank's "
                "own. Send it by broadcast_object.",
                stacklevel=3,
            )
    return [(name, tensor) for name, tensor in listed if isinstance(tensor, torch.Tensor)]


def _specs(tensors: Sequence[tuple[str | None, torch.Tensor]]) -> list[TensorSpec]:
    """First those of a name, which meet by it in any order; then the others as they come."""
    named = sorted(((n, t) for n, t in tensors if n is not None), key=lambda one: one[0])
    unnamed = [tensor for name, tensor in tensors if name is None]
    titled = [*named, *((f"number {i}", tensor) for i, tensor in enumerate(unnamed))]
    return [spec_of(tensor, title) for title, tensor in titled]


def _wait_all(handles: Iterable[int]) -> None:
    """Leave no handle behind: all tensors are free again when the first failure is told."""
    first: HorovodInternalError | None = None
    for handle in handles:
        try:
            synchronize(handle)
        except HorovodInternalError as error:
            first = first or error
    if first is not None:
        raise first
