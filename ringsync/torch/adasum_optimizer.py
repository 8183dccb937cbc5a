"""An optimizer whose steps, not gradients, are added up by Adasum."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from ringsync.collectives import Adasum
from ringsync.collectives.call import Terms
from ringsync.torch.handles import perform
from ringsync.torch.reduction import Reduction, allreduce_call
from ringsync.torch.terms import Held, TermsCheck, spec_of
from ringsync.torch.wrapped_optimizer import WrappedOptimizer


class AdasumOptimizer(WrappedOptimizer):
    """Steps by this rank's gradients, and adds up over the ranks how far parameters have moved."""

    _check: TermsCheck

    def synchronize(self) -> None:
        """Do nothing: gradients stay each rank's own."""

    @contextlib.contextmanager
    def skip_synchronize(self) -> Iterator[None]:
        """Refuse: nothing is synchronized before `step`.

        Raises:
            AssertionError: Always.
        """
        raise AssertionError(
            "Skipping synchronization is not supported when using Adasum optimizer."
        )
        yield

    def step(self, closure: Callable[[], Any] | None = None, **how: Any) -> Any:
        """Step by this rank's gradients, and move every rank by the Adasum of all steps.

        Args:
            closure: As the optimizer takes it.
            how: Likewise.

        Returns:
            The loss, if there is a closure.

        Raises:
            HorovodInternalError: Ranks disagree or have not made the same steps, one died, or time
                was up. Parameters are then where they were, but the optimizer's own state, its
                momentum and its count of steps, has taken the step: load or broadcast it anew.
            RuntimeError: Another optimizer steps for some of the parameters.
        """
        self._check_not_released()
        parameters = [p for group in self.param_groups for p in group["params"] if p.requires_grad]
        self._check.begin(lambda: self._held(parameters))
        self._check.finish()
        before = [parameter.detach().clone() for parameter in parameters]
        loss = super().step(closure, **how)
        moves = [p.detach() - start for p, start in zip(parameters, before, strict=True)]
        if not parameters:
            return loss
        compression = self._terms.compression
        try:
            small, contexts = zip(*map(compression.compress, moves), strict=True)
            self._add_up(list(small))
            sums = [
                start + compression.decompress(move, context)
                for start, move, context in zip(before, small, contexts, strict=True)
            ]
        except BaseException:
            _assign(parameters, before)  # by its own step every rank has moved elsewhere
            raise
        _assign(parameters, sums)
        self._updates.add()
        return loss

    def _add_up(self, moves: list[torch.Tensor]) -> None:
        asked = Reduction("grouped_allreduce", self._moves, Adasum, 1.0, 1.0, self.process_set)
        terms = Terms(op=Adasum, step=self._updates.begin())
        try:
            perform(replace(allreduce_call(asked, moves, is_in_place=True), terms=terms))
        finally:
            self._updates.end()

    def _watch(self) -> None:
        super()._watch()
        self._moves = self._next_name("again")
        self._check = TermsCheck(self._terms, self._moves)

    def _held(self, parameters: list[torch.Tensor]) -> Held:
        """What ranks have to hold alike; of values each has its own."""
        specs = [spec_of(parameter, self._parameter_names[parameter]) for parameter in parameters]
        return specs, [None] * len(specs)


def _assign(parameters: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)
