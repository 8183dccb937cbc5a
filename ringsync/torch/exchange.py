"""How gradients of torch's parameters become those of all ranks: in an arena where they can be.

What is final is started at once, and the rest when asked. Which step it is, is the optimizer's
matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ringsync.collectives import Average, Sum
from ringsync.errors import ConfigError, RingsyncError
from ringsync.heap import keep_freed_memory
from ringsync.parallel.layout import warn_once
from ringsync.parallel.updates import UpdateCount
from ringsync.runtime import Runtime, current, is_initialized
from ringsync.torch.arena_exchange import ArenaExchange
from ringsync.torch.compression import Compression
from ringsync.torch.errors import HorovodInternalError, told_to_horovod
from ringsync.torch.memory_form import fits_arena, has_gaps
from ringsync.torch.process_sets import group_of
from ringsync.torch.single_exchange import SingleExchange, mixed_forms
from ringsync.torch.terms import ExchangeTerms, Held, TermsCheck, spec_of


class Exchange:
    """The exchange of one optimizer's gradients, by index."""

    _arena: ArenaExchange | None
    _place: dict[int, int]  # in the arena

    def __init__(
        self,
        parameters: Sequence[torch.Tensor],
        names: Sequence[str],
        terms: ExchangeTerms,
        name: str,
        updates: UpdateCount,
    ) -> None:
        """Lay out the gradients' memory.

        Args:
            parameters: In an order that is equal on all ranks.
            names: Theirs.
            terms: How they are exchanged.
            name: Of this set of parameters, equal on all ranks.
            updates: That ranks have made before, and compare.
        """
        self._updates = updates
        self._runtime = current()
        self._begun_in: Runtime | None = None
        self._name = name
        self._parameters = parameters
        self._names = names
        self._terms = terms
        self._has_arena = terms.compression is Compression.none and terms.op in {Average, Sum}
        self._inside = [i for i, p in enumerate(parameters) if self._has_arena and fits_arena(p)]
        self._sparse: list[int] = []  # have had a place in the arena, and travel by themselves now
        self._check = TermsCheck(terms, name)
        self._difference = ""
        self._lay_out()
        factor = terms.predivide_factor
        self._single = SingleExchange(
            op=terms.op,
            compression=terms.compression,
            scales=(1 / factor, factor),
            name=name,
            process_set=terms.process_set,
            updates=updates,
        )
        self._single_place: dict[int, int] = {}
        self._singles: list[int] = []
        self._sparse_dims: dict[int, int] = {}  # of this rank's gradients that travel dense
        self._sparse_again: dict[int, torch.Tensor] = {}  # what those are after `finish`
        for index in range(len(parameters)):
            if index not in self._place:
                self._add_single(index)

    def final(self, index: int) -> None:
        """Take note that a gradient will not change any more in this step.

        Args:
            index: Of the gradient.

        Raises:
            HorovodInternalError: A bucket, or the gradient, cannot be started.
        """
        if self._check.is_unlike:
            return
        self.begin()
        self._check.begin(self._held)
        self._make_dense(index)
        if index in self._single_place:
            self._single.final(self._single_place[index])
        elif self._arena is not None:
            self._arena.final(self._place[index])

    def finish(self) -> None:
        """Exchange what has not been, and wait; gradients are then those of all ranks.

        Raises:
            HorovodInternalError: Ranks disagree, one died, or time was up; or a gradient is sparse
                and cannot be exchanged so.
        """
        self.begin()
        self._check.begin(self._held)
        self._difference = self._check.finish() or self._difference
        for index in range(len(self._parameters)):
            self._make_dense(index)
        mixed: list[int] = []
        if self._arena is not None:
            self._arena.finish()
            mixed = self._take_sparse(self._arena)
        self._single.finish()
        if mixed:
            raise mixed_forms(self._name, self._names[mixed[0]])
        self._make_sparse_again()
        self._begun_in = None
        self._updates.exchanged()

    def warn(self) -> None:
        """Have the first rank warn, once, of values that differed when training began."""
        difference, self._difference = self._difference, ""
        if difference and self.is_of_this_world():
            warn_once(difference, group_of("DistributedOptimizer", self._terms.process_set))

    def is_of_this_world(self) -> bool:
        """Tell whether the ranks that it was made for have not ended since.

        Returns:
            False after `shutdown`.
        """
        return is_initialized() and current() is self._runtime

    def begin(self) -> None:
        """Take part in a step: others may, too, and then wait for what this rank has not sent."""
        if self._begun_in is None:
            with told_to_horovod():
                self._updates.begin()  # for all of it, also of what is first sent after a broadcast
                self._begun_in = current()

    def is_begun(self) -> bool:
        """Tell whether others may wait for what this rank has not sent yet.

        Returns:
            False once `finish` or `end` has returned, and in another world.
        """
        return self._begun_in is not None and is_initialized() and current() is self._begun_in

    def reset(self) -> None:
        """Begin a new step.

        Raises:
            HorovodInternalError: What an error had interrupted cannot be ended.
        """
        try:
            self.end()
        except RingsyncError:
            self._leave_out_sparse()
            raise
        self._leave_out_sparse()

    def end(self) -> None:
        """Forget the step, once all that peers wait for has been sent as in `finish`.

        Raises:
            HorovodInternalError: What was begun cannot be ended.
        """
        self._sparse_again.clear()
        try:
            if self.is_begun() and self._is_alike():
                for index in range(len(self._parameters)):
                    self._make_dense(index)
                if self._arena is not None:
                    self._arena.end()
                    self._take_sparse(self._arena)
                self._single.end()
        except RingsyncError:
            self._forget()
            raise
        self._forget()  # all at once, and not after Ctrl-C: it is still to be ended

    def is_dropped(self, index: int) -> bool:
        """Tell whether a gradient is not what `finish` has left.

        Args:
            index: Of the gradient.

        Returns:
            True if it is another tensor, or none.
        """
        if index in self._sparse_again:
            return self._parameters[index].grad is not self._sparse_again[index]
        if index in self._single_place:
            return self._single.is_dropped(self._single_place[index])
        return self._arena is None or self._arena.is_dropped(self._place[index])

    def _forget(self) -> None:
        self._begun_in = None
        if self._arena is not None:
            self._arena.forget()
        self._single.forget()

    def _is_alike(self) -> bool:
        """Whether ranks hold what can be exchanged; else no more is, and nobody waits for it."""
        if self._check.is_unlike:
            return False
        try:
            self._check.begin(self._held)
            self._difference = self._check.finish() or self._difference
        except ConfigError:  # a network that was converted; nothing has been sent, or ever can be
            return False
        except HorovodInternalError:
            if not self._check.is_unlike:
                raise
        return not self._check.is_unlike

    def _lay_out(self) -> None:
        """Give what lies inside its place in an arena."""
        self._place = {index: k for k, index in enumerate(self._inside)}
        self._arena = None  # an earlier one makes room first, once its gradients are dropped
        if self._inside:
            keep_freed_memory(self._runtime.settings)
            left_out = f".without{len(self._sparse)}" if self._sparse else ""
            self._arena = ArenaExchange(
                [self._parameters[i] for i in self._inside],
                [self._names[i] for i in self._inside],
                op=self._terms.op,
                bucket_bytes=max(1, int(self._runtime.settings.bucket_mib * 2**20)),
                name=f"{self._name}{left_out}",
                group=group_of("DistributedOptimizer", self._terms.process_set),
                updates=self._updates,
            )

    def _held(self) -> Held:
        """What ranks have to hold alike; in the arena it is summed as memory lies."""
        specs = [
            spec_of(
                p, f"{name} with gaps in its memory" if self._has_arena and has_gaps(p) else name
            )
            for p, name in zip(self._parameters, self._names, strict=True)
        ]
        if self._arena is None:
            return specs, [None] * len(specs)
        inside = self._arena.values()  # first, for it looks whether they are what they were
        for index, spec in zip(self._inside, self._arena.specs(), strict=True):
            specs[index] = spec
        return specs, (next(inside) if i in self._place else None for i in range(len(specs)))

    def _leave_out_sparse(self) -> None:
        """Embeddings are large, and would travel as zeros; all ranks know of the same ones."""
        inside = [index for index in self._inside if index not in self._sparse]
        if inside != self._inside and self.is_of_this_world():
            self._inside = inside
            self._lay_out()

    def _take_sparse(self, arena: ArenaExchange) -> list[int]:
        """Have what is sparse on any rank travel by itself, from now on, on all ranks.

        Returns:
            What was dense on others.
        """
        told = [self._inside[place] for place in arena.elsewhere]
        new = [index for index in told if index not in self._single_place]
        for index in new:
            self._sparse.append(index)
            self._add_single(index)
            self._single.expect_sparse(self._single_place[index])
        # Sums are equal on all ranks, and so is what is told.
        return [index for index in new if not arena.is_zero(self._place[index])]

    def _make_dense(self, index: int) -> None:
        if not self._terms.sparse_as_dense:
            return
        parameter = self._parameters[index]
        gradient = parameter.grad
        if gradient is not None and gradient.is_sparse:
            self._sparse_dims[index] = gradient.sparse_dim()
            parameter.grad = gradient.to_dense()
            if index in self._place and self._arena is not None:
                self._arena.convert(self._place[index])
            else:
                self._single.convert(self._single_place[index])

    def _make_sparse_again(self) -> None:
        """Give gradients back as they came; all ranks alike, for their optimizers take one form."""
        converted = [self._singles[place] for place in self._single.converted]
        if self._arena is not None:
            converted += [self._inside[place] for place in self._arena.converted]
        for index in converted:
            gradient = self._parameters[index].grad
            if gradient is not None:
                # Others' number of dimensions is 1 but for gradients that no layer of torch makes.
                sparse = gradient.to_sparse(self._sparse_dims.get(index, 1))
                self._parameters[index].grad = self._sparse_again[index] = sparse

    def _add_single(self, index: int) -> None:
        self._single_place[index] = self._single.add(self._parameters[index], self._names[index])
        self._singles.append(index)
