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
        self._is_released = False

    def release(self) -> None:
        """Let go of all parameters, because another optimizer exchanges the gradients of some."""
        self._is_released = True

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

    def _check_not_released(self) -> None:
        if self._is_released:
            raise RuntimeError(
                f"[DistributedOptimizer] this {type(self).__name__} exchanges nothing any more: "
                "some of its parameters were given to another DistributedOptimizer later. Step "
                "with that one."
            )

    def _patch_step_function(self) -> None:
        """Leave `step` alone: the optimizer's own, which it calls, runs torch's step hooks."""


def release_from_others(parameter: torch.Tensor) -> None:
    """Let the optimizer that exchanges a parameter's gradient let go of all that it exchanges.

    Two would exchange one gradient twice. Scripts wrap anew, and drop the earlier optimizer, whose
    hooks would stay.

    Args:
        parameter: Any.
    """
    hooks = getattr(parameter, "_post_accumulate_grad_hooks", None) or {}  # torch's own place
    for hook in list(hooks.values()):
        owner = getattr(getattr(hook, "func", None), "__self__", None)
        if isinstance(owner, WrappedOptimizer):
            owner.release()
