"""What an optimizer that `DistributedOptimizer` has wrapped is beside its own class."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex

import torch

from ringsync.torch.terms import Terms


class WrappedOptimizer(torch.optim.Optimizer):
    """The part that all wrapped optimizers share; their own class comes behind this one."""

    _parameter_names: dict[torch.Tensor, str]  # Horovod's name, on which scripts rely
    _terms: Terms

    def attach(
        self, names: dict[torch.Tensor, str], terms: Terms, backward_passes_per_step: int
    ) -> None:
        """Begin. Once.

        Args:
            names: Of every parameter.
            terms: What is exchanged, and how.
            backward_passes_per_step: Backward passes per exchange; their gradients add up.
        """
        self._parameter_names = names
        self._terms = terms
        self.op, self.process_set = terms.op, terms.process_set
        self.backward_passes_per_step = backward_passes_per_step

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be copied or pickled, which would leave the exchange behind.

        Args:
            protocol: Ignored.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            f"[DistributedOptimizer] {type(self).__name__} is wrapped and cannot be copied or "
            "pickled: what exchanges its gradients belongs to this process. Copy or save its "
            "state_dict(), or copy the optimizer before it is wrapped."
        )

    def _patch_step_function(self) -> None:
        """Leave `step` alone: the optimizer's own, which it calls, runs torch's step hooks."""
