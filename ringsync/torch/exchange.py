"""How gradients of torch's parameters become those of all ranks: in an arena where they can be.

What is final is started at once, and the rest when asked. Which step it is, is the optimizer's
matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ringsync.collectives import ReduceOp
from ringsync.runtime import current
from ringsync.torch.arena_exchange import ArenaExchange
from ringsync.torch.asking import Average, Sum
from ringsync.torch.compression import Compression, Compressor
from ringsync.torch.gradients import fits_arena
from ringsync.torch.process_sets import ProcessSet, group_of
from ringsync.torch.single_exchange import SingleExchange


@dataclass(frozen=True, slots=True)
class Terms:
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


class Exchange:
    """The exchange of one optimizer's gradients, by index."""

    def __init__(
        self, parameters: Sequence[torch.Tensor], names: Sequence[str], terms: Terms
    ) -> None:
        """Lay out the gradients' memory.

        Args:
            parameters: In an order that is equal on all ranks.
            names: Theirs.
            terms: How they are exchanged.
        """
        runtime = current()
        group = group_of("DistributedOptimizer", terms.process_set)
        name = f"gradients.{runtime.next_number(f'gradients of {group}')}"
        self._parameters = parameters
        self._names = names
        self._terms = terms
        can_lie_in_arena = terms.compression is Compression.none and terms.op in {Average, Sum}
        inside = [i for i, p in enumerate(parameters) if can_lie_in_arena and fits_arena(p)]
        self._place = {index: k for k, index in enumerate(inside)}
        self._arena = (
            ArenaExchange(
                [parameters[i] for i in inside],
                [names[i] for i in inside],
                op=terms.op,
                bucket_bytes=max(1, int(runtime.settings.bucket_mib * 2**20)),
                name=name,
                group=group,
            )
            if inside
            else None
        )
        factor = terms.predivide_factor
        self._single = SingleExchange(
            op=terms.op,
            compression=terms.compression,
            scales=(1 / factor, factor),
            name=name,
            process_set=terms.process_set,
        )
        self._single_place: dict[int, int] = {}
        self._sparse_dims: dict[int, int] = {}  # of gradients that travel dense
        for index in range(len(parameters)):
            if index not in self._place:
                self._add_single(index)

    def final(self, index: int) -> None:
        """Take note that a gradient will not change any more in this step.

        Args:
            index: Of the gradient.
        """
        parameter = self._parameters[index]
        gradient = parameter.grad
        if gradient is not None and gradient.is_sparse:
            if self._terms.sparse_as_dense:
                self._sparse_dims[index] = gradient.sparse_dim()
                parameter.grad = gradient.to_dense()
            elif index not in self._single_place:
                self._add_single(index)
        if index in self._single_place:
            self._single.final(self._single_place[index])
        if index in self._place and self._arena is not None:
            self._arena.final(self._place[index])

    def finish(self) -> None:
        """Exchange what has not been, and wait; gradients are then those of all ranks.

        Raises:
            HorovodInternalError: Ranks disagree, one died, or time was up.
        """
        if self._arena is not None:
            self._arena.finish()
        self._single.finish()
        for index, dims in self._sparse_dims.items():
            gradient = self._parameters[index].grad
            if gradient is not None:
                self._parameters[index].grad = gradient.to_sparse(dims)

    def reset(self) -> None:
        """Begin a new step.

        Raises:
            HorovodInternalError: What an error had interrupted cannot be ended.
        """
        if self._arena is not None:
            self._arena.reset()
        self._single.reset()

    def is_dropped(self, index: int) -> bool:
        """Tell whether a gradient is not what `finish` has left.

        Args:
            index: Of the gradient.

        Returns:
            True if it is another tensor, or none.
        """
        if index in self._single_place:
            return self._single.is_dropped(self._single_place[index])
        return self._arena is None or self._arena.is_dropped(self._place[index])

    def _add_single(self, index: int) -> None:
        self._single_place[index] = self._single.add(self._parameters[index], self._names[index])
