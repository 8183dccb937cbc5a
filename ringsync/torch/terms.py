"""What wrapped optimizers have to be told alike on all ranks; a sentence when they were not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ringsync.collectives import ReduceOp
from ringsync.parallel.layout import TensorSpec, check_equal_layout
from ringsync.runtime import current
from ringsync.torch.compression import Compressor
from ringsync.torch.errors import told_to_horovod
from ringsync.torch.process_sets import ProcessSet, group_of


@dataclass(frozen=True, slots=True)
class ExchangeTerms:
    """How gradients are exchanged.

    Attributes:
        op: How several become one.
        compression: Form in which they travel.
        predivide_factor: What they are divided by before, and multiplied by after, being added up.
        sparse_as_dense: Sparse ones are made dense first.
        process_set: Whose ranks exchange.
    """

    op: ReduceOp
    compression: type[Compressor]
    predivide_factor: float
    sparse_as_dense: bool
    process_set: ProcessSet


def next_name(process_set: ProcessSet) -> str:
    """Name a set of parameters; equal on all ranks, for they make their optimizers in one order.

    Args:
        process_set: Whose ranks exchange.

    Returns:
        A name that no other set has.
    """
    group = group_of("DistributedOptimizer", process_set)
    return f"gradients.{current().next_number(f'gradients of {group}')}"


def check_equal_terms(
    terms: ExchangeTerms, name: str, parameters: Sequence[torch.Tensor], names: Sequence[str]
) -> None:
    """Compare terms and parameters over the ranks that exchange; unlike ones would wait forever.

    Args:
        terms: This rank's.
        name: Of the set of parameters, equal on all ranks.
        parameters: Those that are exchanged.
        names: Theirs.

    Raises:
        HorovodInternalError: They differ, on every rank alike; or a rank died, has joined, or did
            not take part.

    Cost: Some 100 bytes sent per parameter.
    """
    # A class has a name of its own, an instance that compresses may have an address in its repr.
    form = terms.compression if isinstance(terms.compression, type) else type(terms.compression)
    words = {
        "op": terms.op.name,
        "compression": form.__qualname__,
        "gradient_predivide_factor": terms.predivide_factor,
        "sparse_as_dense": bool(terms.sparse_as_dense),
    }
    specs = [
        TensorSpec(name, tuple(parameter.shape), str(parameter.dtype).removeprefix("torch."))
        for parameter, name in zip(parameters, names, strict=True)
    ]
    group = group_of("DistributedOptimizer", terms.process_set)
    with told_to_horovod():
        check_equal_layout(specs, name, group, words)
