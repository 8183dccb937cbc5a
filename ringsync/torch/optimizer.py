"""`DistributedOptimizer`: an optimizer of torch's whose gradients are every rank's.

Hooks tell when a gradient is final; what is exchanged, and how, is the exchange's matter.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch

from ringsync.collectives import ReduceOp
from ringsync.torch.adasum_optimizer import AdasumOptimizer
from ringsync.torch.asking import Adasum, Average
from ringsync.torch.basics import size
from ringsync.torch.compression import Compression, Compressor
from ringsync.torch.exchange import Exchange, Terms
from ringsync.torch.optimizer_arguments import checked_groups, checked_names
from ringsync.torch.process_sets import ProcessSet, global_process_set


def DistributedOptimizer(  # noqa: N802, PLR0913, PLR0917  Horovod's name and arguments
    optimizer: torch.optim.Optimizer,
    named_parameters: Iterable[tuple[str, torch.Tensor]] | None = None,
    compression: type[Compressor] = Compression.none,
    backward_passes_per_step: int = 1,
    op: ReduceOp = Average,
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
    whatever takes one.

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
        RingsyncError: There is no room for the gradients.

    Example:
        >>> optimizer = hvd.DistributedOptimizer(optimizer, model.named_parameters())
    """
    if gradient_predivide_factor != 1.0 and op is not Average:
        raise ValueError("gradient_predivide_factor not supported with op != Average")
    if backward_passes_per_step <= 0:
        raise ValueError("backward_passes_per_step must be > 0")
    if num_groups:
        warnings.warn(
            "Parameter `num_groups` has been replaced by `groups`.",
            DeprecationWarning,
            stacklevel=2,
        )
        groups = num_groups if groups is None else groups
    checked_groups(groups)
    names = checked_names(optimizer, named_parameters)
    kind = AdasumOptimizer if op is Adasum and size() > 1 else ExchangingOptimizer
    wrapped_class = type(optimizer.__class__.__name__, (kind, optimizer.__class__), {})
    wrapped: Any = object.__new__(wrapped_class)
    # All that the optimizer is, but for functions that a scheduler has laid over its own.
    wrapped.__dict__ = {k: v for k, v in optimizer.__dict__.items() if k != "step"}
    terms = Terms(op, compression, gradient_predivide_factor, sparse_as_dense, process_set)
    wrapped.attach(names, terms, backward_passes_per_step)
    result: torch.optim.Optimizer = wrapped
    return result


class ExchangingOptimizer(torch.optim.Optimizer):
    """What a wrapped optimizer does beside its own class, which comes behind this one."""

    # Horovod's names, on which scripts rely.
    _parameter_names: dict[torch.Tensor, str]
    _allreduce_delay: dict[torch.Tensor, int]
    _requires_update: set[torch.Tensor]
    _handles: dict[torch.Tensor, None]  # what is final and has not been synchronized
    _synchronized: bool
    _should_synchronize: bool

    def attach(
        self, names: dict[torch.Tensor, str], terms: Terms, backward_passes_per_step: int
    ) -> None:
        """Watch the parameters. Once.

        Args:
            names: Of every parameter.
            terms: How gradients are exchanged.
            backward_passes_per_step: Backward passes per exchange.
        """
        self._parameter_names = names
        self._terms = terms
        self.op, self.process_set = terms.op, terms.process_set
        self.backward_passes_per_step = backward_passes_per_step
        self._handles = {}
        self._synchronized = False
        self._should_synchronize = True
        self._is_told_of_end = False
        self._hooks: list[Any] = []
        self._watch()

    def _watch(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        self._exchange: Exchange | None = None
        self._is_exchanged = False
        parameters = [p for group in self.param_groups for p in group["params"]]
        self._allreduce_delay = dict.fromkeys(parameters, self.backward_passes_per_step)
        self._requires_update = set()
        if size() == 1 or not self.process_set.included():
            return
        watched = [p for p in parameters if p.requires_grad]
        self._exchange = Exchange(watched, [self._parameter_names[p] for p in watched], self._terms)
        self._requires_update = set(watched)
        for index, parameter in enumerate(watched):
            self._hooks.append(
                parameter.register_post_accumulate_grad_hook(self._hook_of(self._exchange, index))
            )

    def _hook_of(self, exchange: Exchange, index: int) -> Callable[[torch.Tensor], None]:
        def on_accumulated(parameter: torch.Tensor) -> None:
            if self._is_exchanged and (self._synchronized or exchange.is_dropped(index)):
                self._begin_step()
            if self._allreduce_delay[parameter] <= 0:
                raise AssertionError(
                    "Gradients were computed more than backward_passes_per_step times before call "
                    "to step(). Increase backward_passes_per_step to accumulate gradients locally."
                )
            self._allreduce_delay[parameter] -= 1
            if self._allreduce_delay[parameter]:
                return
            self._handles[parameter] = None
            exchange.final(index)
            if not self._is_told_of_end:
                self._is_told_of_end = True
                torch.autograd.Variable._execution_engine.queue_callback(self._backward_ended)

        return on_accumulated

    def _backward_ended(self) -> None:
        self._is_told_of_end = False
        # Else another backward may bring the rest, or step() does without.
        if all(p in self._handles for p in self._requires_update if p.requires_grad):
            self._finish()

    def _finish(self) -> None:
        if self._exchange is not None and not self._is_exchanged:
            self._exchange.finish()
            self._is_exchanged = True
        self._handles.clear()

    def _begin_step(self) -> None:
        self._handles.clear()
        self._synchronized = self._is_exchanged = self._is_told_of_end = False
        self._allreduce_delay = dict.fromkeys(self._allreduce_delay, self.backward_passes_per_step)
        if self._exchange is not None:
            self._exchange.reset()

    def set_backward_passes_per_step(self, passes: int) -> None:
        """Choose how many backward passes are exchanged at once.

        Args:
            passes: From the next step on.
        """
        self.backward_passes_per_step = passes
        self._allreduce_delay = dict.fromkeys(self._allreduce_delay, passes)

    def synchronize(self) -> None:
        """Exchange what no backward has, and wait: gradients are then those of all ranks.

        Raises:
            HorovodInternalError: Ranks disagree, one died, or time was up.
        """
        self._finish()
        self._synchronized = True

    @contextlib.contextmanager
    def skip_synchronize(self) -> Iterator[None]:
        """Let `step` in here take the gradients as they are, after `synchronize`.

        Example:
            >>> optimizer.synchronize()
            >>> torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            >>> with optimizer.skip_synchronize():
            ...     optimizer.step()
        """
        self._should_synchronize = False
        try:
            yield
        finally:
            self._should_synchronize = True

    def step(self, closure: Callable[[], Any] | None = None, **how: Any) -> Any:
        """Update every parameter with the gradients of all ranks.

        Args:
            closure: Computes the loss and its gradients anew; they are exchanged each time.
            how: What else the optimizer takes.

        Returns:
            The loss, if there is a closure.

        Raises:
            HorovodInternalError: Ranks disagree, one died, or time was up.
        """
        if not self._should_synchronize:
            loss = super().step(closure, **how)
        elif closure is None:
            if self._synchronized:
                warnings.warn(
                    "optimizer.step() called without optimizer.skip_synchronize() context after "
                    "optimizer.synchronize(). The gradients are exchanged once all the same.",
                    stacklevel=2,
                )
            self.synchronize()
            loss = super().step(**how)
        else:
            loss = super().step(self._exchanging(closure), **how)
        self._begin_step()
        return loss

    def _exchanging(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        def compute() -> Any:
            with torch.enable_grad():
                loss = closure()
            self.synchronize()
            return loss

        return compute

    def zero_grad(self, *how: Any, **named: Any) -> None:
        """Forget all gradients.

        Args:
            how: As the optimizer takes it.
            named: Likewise: `set_to_none`.

        Raises:
            AssertionError: Gradients are on their way.
        """
        if self._handles:
            raise AssertionError(
                "optimizer.zero_grad() was called after loss.backward() but before "
                "optimizer.step() or optimizer.synchronize(). This is prohibited as it can cause "
                "a race condition."
            )
        if self._is_exchanged:
            self._begin_step()
        super().zero_grad(*how, **named)

    def load_state_dict(self, *state: Any, **named: Any) -> None:
        """Restore a state; the step under way is forgotten.

        Args:
            state: What `state_dict` returned.
            named: Likewise.
        """
        self._begin_step()
        super().load_state_dict(*state, **named)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; every rank does. Their gradients are exchanged from the next step on.

        Args:
            param_group: As torch takes it.
        """
        super().add_param_group(param_group)
        if "_parameter_names" not in self.__dict__:
            return
        for i, parameter in enumerate(self.param_groups[-1]["params"]):
            name = f"allreduce.noname.{len(self.param_groups) - 1}.{i}"
            self._parameter_names.setdefault(parameter, name)
        self._begin_step()
        self._watch()
