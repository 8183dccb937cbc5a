"""`DistributedOptimizer`: an optimizer of torch's whose gradients are every rank's.

Arguments are checked and a class is chosen here; what that class does is its own matter.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from ringsync.collectives import Adasum, Average, ReduceOp
from ringsync.torch.adasum_optimizer import AdasumOptimizer
from ringsync.torch.asking import checked_passes, checked_reduce_op
from ringsync.torch.basics import size
from ringsync.torch.compression import Compression, Compressor, check_compression
from ringsync.torch.exchanging_optimizer import ExchangingOptimizer
from ringsync.torch.optimizer_arguments import (
    check_optimizer,
    check_process_set,
    checked_factor,
    checked_groups,
    checked_names,
)
from ringsync.torch.process_sets import ProcessSet, global_process_set
from ringsync.torch.terms import ExchangeTerms
from ringsync.torch.wrapped_optimizer import release_from_others


def DistributedOptimizer(  # noqa: N802, PLR0913, PLR0917  Horovod's name and arguments
    optimizer: torch.optim.Optimizer,
    named_parameters: Iterable[tuple[str, torch.Tensor]] | None = None,
    compression: type[Compressor] = Compression.none,
    backward_passes_per_step: int = 1,
    op: ReduceOp | int = Average,
    gradient_predivide_factor: float = 1.0,
    num_groups: int = 0,
    groups: int | Sequence[Sequence[torch.Tensor]] | None = None,
    sparse_as_dense: bool = False,
    process_set: ProcessSet = global_process_set,
) -> torch.optim.Optimizer:
    """Wrap an optimizer so that every step uses the gradients of all ranks.

    Gradients are exchanged during backward. A backward that reaches all parameters returns with
    them reduced; whatever is left, `step` exchanges, or `synchronize` before it. The result is an
    instance of the optimizer's own class, shares its state and parameter groups, and works with
    whatever takes one. An optimizer that was wrapped over the same parameters before exchanges
    nothing any more.

    Args:
        optimizer: What updates the parameters; equal on all ranks.
        named_parameters: `model.named_parameters()`, for messages; None numbers them.
        compression: Form in which gradients travel.
        backward_passes_per_step: Backward passes per exchange; their gradients add up.
        op: Average, Sum, Min, Max, Product or Adasum.
        gradient_predivide_factor: With Average: divides before adding up, multiplies after.
        num_groups: Older word for a number of `groups`.
        groups: Horovod's; checked, and else left to the buckets that ringsync chooses.
        sparse_as_dense: Make sparse gradients dense before they are exchanged.
        process_set: Whose ranks exchange gradients; others step by themselves.

    Returns:
        The wrapped optimizer; it also has `synchronize`, `skip_synchronize` and
        `set_backward_passes_per_step`.

    Raises:
        ValueError: An argument cannot be used, or `init` was not called.
        NotImplementedError: Some of the ranks are to take part in Adasum, or a number of them that
            is no power of 2.
        RingsyncError: There is no room for the gradients; an earlier optimizer of the same
            parameters exchanges nothing any more.

    Example:
        >>> optimizer = hvd.DistributedOptimizer(optimizer, model.named_parameters())
    """
    check_optimizer(optimizer)
    op = checked_reduce_op("DistributedOptimizer", op)
    factor = checked_factor(gradient_predivide_factor)
    if factor != 1.0 and op is not Average:
        raise ValueError("gradient_predivide_factor not supported with op != Average")
    check_compression("DistributedOptimizer", compression)
    passes = checked_passes(backward_passes_per_step)
    if num_groups:
        warnings.warn(
            "Parameter `num_groups` has been replaced by `groups`.",
            DeprecationWarning,
            stacklevel=2,
        )
        groups = num_groups if groups is None else groups
    checked_groups(groups)
    names = checked_names(optimizer, named_parameters)
    is_adasum = size() > 1 and op is Adasum  # in this order: `size` tells of a missing `init`
    check_process_set(process_set, is_adasum=is_adasum)
    kind = AdasumOptimizer if is_adasum else ExchangingOptimizer
    wrapped_class = type(optimizer.__class__.__name__, (kind, optimizer.__class__), {})
    wrapped: Any = object.__new__(wrapped_class)
    # All that the optimizer is, but for functions that a scheduler has laid over its own.
    wrapped.__dict__ = {k: v for k, v in optimizer.__dict__.items() if k != "step"}
    # After all checks, so that what is refused takes nothing from an earlier optimizer; and before
    # memory is asked for, because what an earlier one held is room for the new one.
    for group in wrapped.param_groups:
        for parameter in group["params"]:
            release_from_others(parameter)
    terms = ExchangeTerms(op, compression, factor, sparse_as_dense, process_set)
    wrapped.attach(names, terms, passes)
    if "step" in optimizer.__dict__:
        _tell_of_steps(wrapped, optimizer)
    result: torch.optim.Optimizer = wrapped
    return result


def _tell_of_steps(wrapped: torch.optim.Optimizer, bare: torch.optim.Optimizer) -> None:
    """Let a scheduler that was made for the bare optimizer see that steps are taken."""
    seen = weakref.ref(bare)

    def tell(*_: object) -> None:
        optimizer: Any = seen()
        if optimizer is not None:
            optimizer._opt_called = True

    wrapped.register_step_post_hook(tell)
