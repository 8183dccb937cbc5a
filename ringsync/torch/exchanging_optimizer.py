"""A wrapped optimizer whose gradients are exchanged while they are computed.

Hooks tell when a gradient is final; what is exchanged, and how, is the exchange's matter.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch

from ringsync.errors import RingsyncError
from ringsync.torch.asking import refuse_pass
from ringsync.torch.basics import size
from ringsync.torch.errors import without_frames
from ringsync.torch.exchange import Exchange
from ringsync.torch.frozen_parameters import FrozenParameters
from ringsync.torch.hooks import weak_hook
from ringsync.torch.step_marks import StepMarks
from ringsync.torch.wrapped_optimizer import WrappedOptimizer


class ExchangingOptimizer(WrappedOptimizer):
    """Exchanges gradients; `step` uses those of all ranks."""

    # Horovod's names, on which scripts rely.
    _allreduce_delay: dict[torch.Tensor, int]
    _requires_update: set[torch.Tensor]
    _handles: dict[torch.Tensor, None]  # what is final and has not been synchronized
    _synchronized: bool

    def _prepare(self) -> None:
        self._handles = {}
        self._synchronized = self._is_told_of_end = False
        self._turn = threading.RLock()
        self._failure: BaseException | None = None
        self._hooks: list[Any] = []
        self._marks = StepMarks()
        self._set_frozen([])

    def _watch(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        self._frozen.close()
        self._exchange: Exchange | None = None
        self._is_exchanged = False
        parameters = [p for group in self.param_groups for p in group["params"]]
        self._begin_passes(parameters)
        self._requires_update = set()
        self._set_frozen([])
        if self._is_released:
            return
        super()._watch()
        if size() == 1 or not self.process_set.included():
            return
        watched = [p for p in parameters if p.requires_grad]
        self._set_frozen([p for p in parameters if not p.requires_grad])
        self._exchange = self._exchange_of(watched, "again")
        self._requires_update = set(watched)
        for index, parameter in enumerate(watched):
            self._hooks.append(self._hook_on(index, parameter))

    def _exchange_of(self, parameters: list[torch.Tensor], what: str = "unfrozen") -> Exchange:
        names = [self._parameter_names[p] for p in parameters]
        return Exchange(parameters, names, self._terms, self._next_name(what), self._updates)

    def _set_frozen(self, parameters: list[torch.Tensor]) -> None:
        # Weakly, for an optimizer that is dropped is to be over at once, on all ranks alike: when
        # Python's collector would come by is another moment on each.
        self._frozen = FrozenParameters(parameters, weak_hook(self._went_on, turn=self._turn))

    def release(self) -> None:
        """Let go of all parameters, because another optimizer exchanges the gradients of some."""
        if self._is_released:
            return
        super().release()
        exchange, frozen, is_begun = self._exchange, self._frozen, self.begun_step() is not None
        self._watch()
        # Peers may still read what is in flight; and whatever fails is not this one's any more.
        with contextlib.suppress(RingsyncError):
            if exchange is not None:
                exchange.end()
            frozen.reset(self._exchange_of, is_begun)
        self._updates.end()
        self._handles.clear()

    def _hook_on(self, index: int, parameter: Any) -> Any:
        hook = weak_hook(self._final, index, turn=self._turn)
        return parameter.register_post_accumulate_grad_hook(hook)

    def _final(self, index: int, parameter: torch.Tensor) -> None:
        latest = next(reversed(parameter._post_accumulate_grad_hooks), None)
        if not self._hooks or latest == self._hooks[index].id:
            self._accumulated(index, parameter)
            return
        # What was hooked on later may change the gradient yet; from the next time on it is first.
        self._hooks[index].remove()
        self._hooks[index] = self._hook_on(index, parameter)
        torch.autograd.Variable._execution_engine.queue_callback(
            lambda: self._accumulated(index, parameter)
        )

    def _accumulated(self, index: int, parameter: torch.Tensor) -> None:
        exchange = self._exchange
        if exchange is None:  # another optimizer has taken the parameters over, in this backward
            return
        if self._failure is not None:
            self._begin_step_again(parameter)
        elif self._is_exchanged and (self._synchronized or exchange.is_dropped(index)):
            self._begin_step()
        if self._allreduce_delay[parameter] <= 0:
            self._attempt(refuse_pass)
        self._allreduce_delay[parameter] -= 1
        if self._allreduce_delay[parameter]:
            return
        self._handles[parameter] = None
        if not self._is_told_of_end:
            self._marks.backward_began()
        self._attempt(exchange.final, index)
        if not self._is_told_of_end:
            self._is_told_of_end = True
            torch.autograd.Variable._execution_engine.queue_callback(self._backward_ended)

    def _backward_ended(self) -> None:
        self._is_told_of_end = False
        if self._is_marked():
            self._marks.backward_ended()
        # Else another backward may bring the rest, or step() does without.
        if all(p in self._handles for p in self._requires_update if p.requires_grad):
            self._finish()
            if self._frozen.is_reached():
                self._attempt(self._frozen.exchange, self._exchange_of)
        self._marks.idle()

    def _begin_passes(self, parameters: Iterable[torch.Tensor]) -> None:
        self._passes_of_step = self.backward_passes_per_step
        self._allreduce_delay = dict.fromkeys(parameters, self._passes_of_step)

    def _take_passes(self) -> None:
        is_fresh = set(self._allreduce_delay.values()) <= {self._passes_of_step}
        if is_fresh and not self._is_exchanged:  # else a step is under way
            self._begin_passes(self._allreduce_delay)

    def _went_on(self, is_dropped: bool) -> None:
        """A backward has reached what was frozen once more, and maybe nothing else."""
        if self._failure is None and not self._synchronized and not is_dropped:
            self._attempt(refuse_pass)
        self._begin_step()

    def _is_marked(self) -> bool:
        return self._exchange is not None and self._exchange.is_of_this_world()

    def _attempt(self, exchange_some: Callable[..., None], *what: object) -> None:
        try:
            exchange_some(*what)
        except BaseException as error:  # Ctrl-C, too, leaves it half done
            # Gradients are unspecified from here on, until they are dropped or computed anew. What
            # the error went through would keep this optimizer, and its hooks.
            self._failure = without_frames(error)
            raise

    def _finish(self) -> None:
        if self._failure is not None:
            raise without_frames(self._failure)
        if self._exchange is not None and not self._is_exchanged:
            self._attempt(self._exchange.finish)
            self._is_exchanged = True
        self._handles.clear()  # a warning may be an exception
        if self._exchange is not None:
            self._exchange.warn()

    def _begin_step(self) -> None:
        is_begun = self.begun_step() is not None
        self._handles.clear()
        self._marks.idle()
        self._synchronized = self._is_exchanged = self._is_told_of_end = False
        self._begin_passes(self._allreduce_delay)
        failure, self._failure = self._failure, None
        try:
            if self._exchange is not None:
                self._exchange.reset()
            self._frozen.reset(self._exchange_of, is_begun)
            self._updates.end()
        except RingsyncError:
            self._frozen.forget()
            self._updates.end()
            if failure is None:  # else it has been told, and a state can still be restored
                raise
        except BaseException as error:
            if is_begun or failure is not None:  # Ctrl-C, and it is still to be ended
                self._failure = failure or without_frames(error)
            raise

    def _begin_step_again(self, parameter: torch.Tensor) -> None:
        """Begin a step by a gradient, which is not to be taken for one of the step that failed."""
        gradient = None if parameter.grad is None else parameter.grad.clone()
        parameter.grad = None
        self._begin_step()
        parameter.grad = gradient

    def begun_step(self) -> int | None:
        """Tell of which step others may wait for what this rank has not sent.

        Returns:
            Its number; None where there is no such step.
        """
        is_begun = self._exchange is not None and self._exchange.is_begun()
        return self._updates.begun_with if is_begun else None

    def forget_step(self, *, begun: Collection[int] = ()) -> None:
        """Forget the step under way; every rank does, and has what the others wait for sent.

        Args:
            begun: Which steps ranks have begun, this one or others.
        """
        has_exchanged = self._is_exchanged and self._updates.begun_with in begun
        if begun and self._exchange is not None and self.begun_step() is None and not has_exchanged:
            self._begin_step()
            self._updates.begin(max(begun))  # whatever is its own: nothing is made of it
            self._exchange.begin()
        self._begin_step()

    def synchronize(self) -> None:
        """Exchange what no backward has, and wait: gradients are then those of all ranks.

        Raises:
            HorovodInternalError: Ranks disagree, one died, or time was up, or a gradient is sparse
                and cannot be exchanged so; also if that came to light in backward.
            RuntimeError: Another optimizer exchanges these gradients.
        """
        self._check_not_released()
        self._finish()
        if not self._synchronized:
            self._attempt(self._frozen.exchange, self._exchange_of)
        self._synchronized = True

    def step(self, closure: Callable[[], Any] | None = None, **how: Any) -> Any:
        """Update every parameter with the gradients of all ranks.

        Args:
            closure: Computes the loss and its gradients anew; they are exchanged each time.
            how: What else the optimizer takes.

        Returns:
            The loss, if there is a closure.

        Raises:
            HorovodInternalError: As for `synchronize`.
            RuntimeError: Another optimizer exchanges these gradients.
        """
        self._check_not_released()
        if not self._should_synchronize:
            loss = self._update(closure, **how)
        elif closure is None:
            if self._synchronized:
                warnings.warn(
                    "optimizer.step() called without optimizer.skip_synchronize() context after "
                    "optimizer.synchronize(). The gradients are exchanged once all the same.",
                    stacklevel=2,
                )
            self.synchronize()
            loss = self._update(None, **how)
        else:
            loss = self._update(self._exchanging(closure), **how)
        self._begin_step()
        self._watch_unfrozen()
        return loss

    def _update(self, closure: Callable[[], Any] | None, **how: Any) -> Any:
        self._marks.update_began()
        loss = super().step(**how) if closure is None else super().step(closure, **how)
        if self._synchronized:  # else by gradients of its own, on purpose
            self._updates.add()
        if self._is_marked():
            self._marks.update_ended()
        return loss

    def _watch_unfrozen(self) -> None:
        if not self._is_released and self._frozen.has_unfrozen():
            self._watch()

    def _exchanging(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        def compute() -> Any:
            with torch.enable_grad():
                loss = closure()
            self.synchronize()
            self._marks.update_began()  # which is what follows the last one
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
        if self._handles and self._failure is None:
            raise AssertionError(
                "optimizer.zero_grad() was called after loss.backward() but before "
                "optimizer.step() or optimizer.synchronize(). This is prohibited as it can cause "
                "a race condition. Call one of them first, on all ranks; also where backward() "
                "ended with an exception, and gradients of before it are on their way."
            )
        if self._is_exchanged or self._failure is not None:
            self._begin_step()
        self._watch_unfrozen()
        super().zero_grad(*how, **named)
