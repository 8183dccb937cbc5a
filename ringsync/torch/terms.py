"""What wrapped optimizers have to be told alike on all ranks; a sentence when they were not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from ringsync.arrays import Array
from ringsync.collectives import ReduceOp
from ringsync.parallel.layout import StartComparison, TensorSpec
from ringsync.runtime import current
from ringsync.torch import devices
from ringsync.torch.compression import Compressor
from ringsync.torch.errors import HorovodInternalError, told_to_horovod
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


# What ranks hold: parameters as they travel, and their values or None.
Held = tuple[list[TensorSpec], Iterable[Array | None]]


def spec_of(tensor: torch.Tensor, name: str) -> TensorSpec:
    """Describe a tensor that travels by itself.

    Args:
        tensor: Any.
        name: Its name.

    Returns:
        Its description.
    """
    dtype = str(tensor.dtype).removeprefix("torch.")
    return TensorSpec(name, tuple(tensor.shape), dtype, devices.kind_of(tensor))


class TermsCheck:
    """Compares terms and parameters over the ranks that exchange: unlike ones would wait forever.

    It takes as many calls of `begin` and `finish` as there are; the comparison is made once.
    """

    def __init__(self, terms: ExchangeTerms, name: str) -> None:
        """Keep what is compared.

        Args:
            terms: This rank's.
            name: Of the set of parameters, equal on all ranks.
        """
        self._terms = terms
        self._name = name
        self._comparison: StartComparison | None = None
        self._is_done = False
        self._unlike = ""

    @property
    def is_unlike(self) -> bool:
        """Whether ranks have found that they differ; all know it, and nothing is exchanged."""
        return bool(self._unlike)

    def begin(self, held: Callable[[], Held]) -> None:
        """Send what this rank has been told and holds; nobody waits.

        Args:
            held: Gives the parameters as they travel, and the values of those of which values
                are compared, else None.

        Raises:
            HorovodInternalError: Nothing can be sent.

        Cost: Once, a pass over the values (about 1 GB/s), and some 100 bytes sent per parameter.
        """
        if self._is_done or self._unlike or self._comparison is not None:
            return
        # A class has a name of its own; an instance may have an address in its repr.
        form = self._terms.compression
        form = form if isinstance(form, type) else type(form)
        words = {
            "op": self._terms.op.name,
            "compression": form.__qualname__,
            "gradient_predivide_factor": self._terms.predivide_factor,
            "sparse_as_dense": bool(self._terms.sparse_as_dense),
        }
        specs, values = held()
        group = group_of("DistributedOptimizer", self._terms.process_set)
        with told_to_horovod():
            self._comparison = StartComparison(specs, values, self._name, group, words)

    def finish(self) -> str:
        """Wait for the others'.

        Returns:
            Once, on every rank alike, a sentence on values that differ; else "".

        Raises:
            HorovodInternalError: Ranks differ otherwise, on every rank alike, and whenever this is
                called; or a rank died, has joined, or did not take part.
        """
        if self._unlike:
            raise HorovodInternalError(self._unlike)
        if self._comparison is None:
            return ""
        try:
            with told_to_horovod():
                difference = self._comparison.finish()
        except HorovodInternalError as error:
            if self._comparison.is_unlike:
                self._unlike = str(error)
            self._comparison = None
            raise
        self._comparison, self._is_done = None, True
        return difference
