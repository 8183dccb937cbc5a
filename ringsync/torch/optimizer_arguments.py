"""What DistributedOptimizer is given, checked as Horovod does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import torch


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
    named = list(named_parameters)
    if not all(isinstance(item, tuple) for item in named):
        raise ValueError(
            "named_parameters should be a sequence of tuples (name, parameter), usually produced "
            "by model.named_parameters()."
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
    if not isinstance(groups, Sequence):
        if not isinstance(groups, int) or groups < 0:
            raise ValueError(
                "groups should be a non-negative integer or a list of list of tensors."
            )
        return
    seen: set[int] = set()
    for parameter in (parameter for group in groups for parameter in group):
        if not isinstance(parameter, torch.Tensor):
            raise ValueError("groups must consist of torch.Tensor.")  # noqa: TRY004  Horovod's class
        if id(parameter) in seen:
            raise ValueError("A parameter can only appear once in groups.")
        seen.add(id(parameter))
