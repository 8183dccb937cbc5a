"""What DistributedOptimizer is given, checked as Horovod does."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import torch

from ringsync.torch.adasum import check_power_of_2
from ringsync.torch.asking import checked_number
from ringsync.torch.basics import size
from ringsync.torch.process_sets import ProcessSet, check_registered, global_process_set
from ringsync.torch.wrapped_optimizer import WrappedOptimizer
from ringsync.words import in_line, kind_of

_PAIR = 2  # a name and its parameter


def check_optimizer(optimizer: object) -> None:
    """Check what is to be wrapped.

    Args:
        optimizer: As the caller gave it.

    Raises:
        ValueError: It is no optimizer of torch's, or is wrapped.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ValueError(  # noqa: TRY004  as of all arguments
            f"[DistributedOptimizer] {kind_of(optimizer)} is no optimizer of torch's. Pass, for "
            "example, torch.optim.SGD(model.parameters(), lr=0.1)."
        )
    if isinstance(optimizer, WrappedOptimizer):
        raise ValueError(  # noqa: TRY004  likewise
            f"[DistributedOptimizer] this {type(optimizer).__name__} is wrapped already. Wrap an "
            "optimizer once."
        )


def checked_names(
    optimizer: torch.optim.Optimizer,
    named_parameters: Iterable[tuple[str, torch.Tensor]] | None,
) -> dict[torch.Tensor, str]:
    """Name an optimizer's parameters.

    Args:
        optimizer: Whose.
        named_parameters: As the caller gave it.

    Returns:
        The name of each.

    Raises:
        ValueError: Names are missing, or come twice.
    """
    places = {
        parameter: f"allreduce.noname.{i}.{j}"
        for i, group in enumerate(optimizer.param_groups)
        for j, parameter in enumerate(group["params"])
    }
    if named_parameters is None:
        return places
    named = list(named_parameters) if isinstance(named_parameters, Iterable) else [named_parameters]
    if not all(isinstance(item, tuple) and len(item) == _PAIR for item in named):
        raise ValueError(
            "named_parameters should be a sequence of tuples (name, parameter), usually produced "
            "by model.named_parameters()."
        )
    unfit = [name for name, _ in named if not isinstance(name, str)]
    if unfit:
        raise ValueError(
            f"named_parameters has {in_line(unfit[0])} for a name; text is expected, as "
            "model.named_parameters() gives it."
        )
    counts = Counter(name for name, _ in named)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise ValueError(
            f"Parameter names in named_parameters must be unique. Found duplicates: "
            f"{', '.join(twice)}"
        )
    names = {parameter: name for name, parameter in sorted(named, key=lambda item: item[0])}
    unnamed = [id(parameter) for parameter in places if parameter not in names]
    if unnamed:
        raise ValueError(
            "named_parameters was specified, but one or more model parameters were not named. "
            f"Python object ids: {', '.join(map(str, unnamed))}"
        )
    return names


def checked_groups(groups: int | Sequence[Sequence[torch.Tensor]] | None) -> None:
    """Check Horovod's groups of parameters.

    Args:
        groups: As the caller gave it.

    Raises:
        ValueError: They are no number and no list of lists of parameters, or one comes twice.
    """
    if groups is None:
        return
    is_number = isinstance(groups, int) and groups >= 0
    is_nested = isinstance(groups, Sequence) and all(
        isinstance(group, Iterable) and not isinstance(group, torch.Tensor) for group in groups
    )
    if not is_number and not is_nested:
        raise ValueError("groups should be a non-negative integer or a list of list of tensors.")
    if not isinstance(groups, Sequence):
        return
    seen: set[int] = set()
    for parameter in (parameter for group in groups for parameter in group):
        if not isinstance(parameter, torch.Tensor):
            raise ValueError("groups must consist of torch.Tensor.")  # noqa: TRY004  Horovod's class
        if id(parameter) in seen:
            raise ValueError("A parameter can only appear once in groups.")
        seen.add(id(parameter))


def checked_factor(factor: float) -> float:
    """Check what gradients are divided by before they are added up.

    Args:
        factor: As the caller gave it.

    Returns:
        It as a float.

    Raises:
        ValueError: It is no number, or one that nothing can be divided by.
    """
    value = checked_number("DistributedOptimizer", "gradient_predivide_factor", factor)
    if value == 0 or not math.isfinite(1 / value):
        raise ValueError(
            f"[DistributedOptimizer] gradient_predivide_factor={in_line(factor)} was given; a "
            "number that 1 can be divided by is expected. Leave it out to divide after adding up."
        )
    return value


def check_process_set(process_set: ProcessSet, *, is_adasum: bool) -> None:
    """Check whose ranks are to exchange gradients, on those that are not among them as well.

    Args:
        process_set: As the caller gave it.
        is_adasum: Steps are to be added up by Adasum.

    Raises:
        ValueError: It is no process set, or is not registered.
        NotImplementedError: It is not that of all ranks, which Adasum needs, or their number is no
            power of 2.
    """
    check_registered("DistributedOptimizer", process_set)
    if is_adasum and process_set is not global_process_set:
        raise NotImplementedError("Adasum does not support non-global process sets yet.")
    if is_adasum:
        check_power_of_2(size())
