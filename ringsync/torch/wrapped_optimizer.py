"""What an optimizer that `DistributedOptimizer` has wrapped is beside its own class."""

from __future__ import annotations

import torch

from ringsync.torch.exchange import Terms


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
