"""What an optimizer that `DistributedOptimizer` has wrapped is beside its own class."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Collection, Iterator
from typing import Any, NoReturn, SupportsIndex

import torch
from torch.utils.weak import WeakIdKeyDictionary

from ringsync.parallel.updates import UpdateCount
from ringsync.torch.asking import checked_passes
from ringsync.torch.process_sets import group_of
from ringsync.torch.terms import ExchangeTerms, next_name

# Who exchanges a parameter's gradient; of the whole process, as parameters are, for what is written
# on them is copied and pickled with them. Both are held weakly, or nothing would ever go.
_owners: Any = WeakIdKeyDictionary()


class WrappedOptimizer(torch.optim.Optimizer):
    """The part that all wrapped optimizers share; their own class comes behind this one."""

    _parameter_names: dict[torch.Tensor, str]  # Horovod's name, on which scripts rely
    _terms: ExchangeTerms
    _updates: UpdateCount
    _should_synchronize = True
    _exchange_name: str  # under which ranks meet
    _exchange_count: int  # of names that have been made of it

    def attach(
        self, names: dict[torch.Tensor, str], terms: ExchangeTerms, backward_passes_per_step: int
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
        is_member = terms.process_set.included()
        group = group_of("DistributedOptimizer", terms.process_set) if is_member else None
        self._updates = UpdateCount(group)
        self._exchange_name, self._exchange_count = "", 0
        self._prepare()
        self._watch()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; every rank does. They take part from the next step on.

        Args:
            param_group: As torch takes it.
        """
        if self._is_attached():
            self.forget_step()
        super().add_param_group(param_group)
        if not self._is_attached() or self._is_released:
            return
        for i, parameter in enumerate(self.param_groups[-1]["params"]):
            name = f"allreduce.noname.{len(self.param_groups) - 1}.{i}"
            self._parameter_names.setdefault(parameter, name)
        self._watch()

    def load_state_dict(self, *state: Any, **named: Any) -> None:
        """Restore a state; the step under way is forgotten.

        Every rank does, or all get it by `broadcast_optimizer_state`: steps are counted from here
        on, so ranks that were a step apart and have all loaded one checkpoint go on. Values of
        parameters are not compared again.

        Args:
            state: What `state_dict` returned.
            named: Likewise.
        """
        self.forget_step()
        super().load_state_dict(*state, **named)
        self.count_anew()

    def count_anew(self) -> None:
        """Count steps from here on; every rank does."""
        self._updates.restart()

    def begun_step(self) -> int | None:
        """Tell of which step others may wait for what this rank has not sent.

        Returns:
            Its number; None where there is no such step, or nothing is sent before `step`.
        """
        return None

    def forget_step(self, *, begun: Collection[int] = ()) -> None:
        """Forget the step under way; every rank does.

        Args:
            begun: Which steps ranks have begun, this one or others.
        """

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

    def set_backward_passes_per_step(self, passes: int) -> None:
        """Choose how many backward passes come before a step; their gradients add up.

        Args:
            passes: From the next step on that begins.

        Raises:
            ValueError: It is no number above 0.
        """
        self.backward_passes_per_step = checked_passes(passes)
        self._take_passes()

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

    def _next_name(self, what: str) -> str:
        """Name what is exchanged from now on; alike on all ranks, whatever others' steps name.

        Args:
            what: Of the optimizer it is, but for the first time.

        Returns:
            A name that nothing else has.
        """
        self._exchange_name = name = self._exchange_name or next_name(self.process_set)
        self._exchange_count = count = self._exchange_count + 1
        return name if count == 1 else f"{name}.{what}{count}"

    def _take_passes(self) -> None:
        """Go by a new number of backward passes."""

    def _is_attached(self) -> bool:
        return "_parameter_names" in self.__dict__

    def _prepare(self) -> None:
        """Get ready to watch; once."""

    def _watch(self) -> None:
        """Begin with the parameters that there are by now, and be the one that exchanges them.

        Also those frozen so far.
        """
        for group in self.param_groups:
            for parameter in group["params"]:
                if _owner_of(parameter) is not self:
                    release_from_others(parameter)
                    _owners[parameter] = weakref.ref(self)

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
    owner = _owner_of(parameter)
    if owner is not None:
        owner.release()


def _owner_of(parameter: torch.Tensor) -> WrappedOptimizer | None:
    weak = _owners.get(parameter)
    owner: WrappedOptimizer | None = None if weak is None else weak()
    return owner
