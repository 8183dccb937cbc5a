"""Gradients that travel one by one: compressed, sparse, of dtypes that NumPy does not know."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ringsync.collectives import Average, ReduceOp, Sum
from ringsync.collectives.call import Terms, start
from ringsync.handle import Handle
from ringsync.kinds import Collective
from ringsync.parallel.updates import UpdateCount
from ringsync.torch.compression import Compressor
from ringsync.torch.errors import HorovodInternalError, told_to_horovod
from ringsync.torch.gathering import sparse_allreduce_async
from ringsync.torch.handles import synchronize
from ringsync.torch.process_sets import ProcessSet, group_of
from ringsync.torch.reducing import allreduce_async_


class SingleExchange:
    """Every gradient travels by itself, in whatever form: compressed, sparse, of any dtype."""

    def __init__(
        self,
        *,
        op: ReduceOp,
        compression: type[Compressor],
        scales: tuple[float, float],
        name: str,
        process_set: ProcessSet,
        updates: UpdateCount,
    ) -> None:
        """Keep what it takes.

        Args:
            op: How several gradients become one.
            compression: Form in which dense gradients travel.
            scales: Factors before and after.
            name: Of this set of parameters, equal on all ranks.
            process_set: Whose ranks exchange.
            updates: That ranks have made before, and compare.
        """
        self._updates = updates
        self._parameters: list[torch.Tensor] = []
        self._names: list[str] = []
        self._op = op
        self._compression = compression
        self._scales = scales
        self._name = name
        self._process_set = process_set
        self._is_sparse: list[bool] = []
        self._presence: Handle | None = None
        self._agreed: tuple[list[int], dict[int, HorovodInternalError]] | None = None
        self._begun: dict[int, tuple[Callable[[], torch.Tensor], Any]] = {}
        self._awaited: set[int] = set()
        self._left: dict[int, torch.Tensor | None] = {}
        self._own_converted: set[int] = set()
        self._converted: list[int] = []

    @property
    def converted(self) -> list[int]:
        """Indices of what was made dense on any rank, as of the last `finish`."""
        return self._converted

    def convert(self, index: int) -> None:
        """Take note that a gradient was sparse, and has been made dense for this step.

        Args:
            index: Of the gradient.
        """
        self._own_converted.add(index)

    def add(self, parameter: torch.Tensor, name: str) -> int:
        """Take a parameter in.

        Args:
            parameter: In the same order on all ranks.
            name: Its name.

        Returns:
            Its index.
        """
        self._parameters.append(parameter)
        self._names.append(name)
        self._is_sparse.append(False)
        return len(self._names) - 1

    def final(self, index: int) -> None:
        """Start a gradient.

        Args:
            index: Of the gradient.
        """
        gradient = self._parameters[index].grad
        # A first sparse one waits for `finish`, in which all ranks hear of it.
        if gradient is None or not gradient.is_sparse or self._is_sparse[index]:
            self._begin(index, gradient)

    def expect_sparse(self, index: int) -> None:
        """Take note that a gradient is sparse on some rank; every rank does.

        Args:
            index: Of the gradient.
        """
        self._is_sparse[index] = True

    def finish(self) -> None:
        """Start the rest with zeros, and wait; what no rank has stays away.

        Raises:
            HorovodInternalError: The first failure, once nothing is in flight any more; or, on
                every rank alike, a gradient that is sparse on some ranks only, or is reduced by an
                op that takes no sparse ones.
        """
        self._exchange(is_interrupted=False)

    def _exchange(self, is_interrupted: bool) -> None:
        if not self._parameters:
            return
        try:
            owners, unusable = self._agreed = self._agreed or self._agree()
        except HorovodInternalError:
            self._presence = None
            with contextlib.suppress(HorovodInternalError):  # the first failure is told
                self._wait_all()
            raise
        for index in range(len(self._parameters)):
            if index not in self._begun and index not in self._awaited:
                self._begin_late(index, index in unusable, is_interrupted)
        results = self._wait_all()
        if is_interrupted:  # whoever was interrupted has been told, and the step is over
            return
        if unusable:
            raise next(iter(unusable.values()))
        for index, (result, context) in results.items():
            if not owners[index]:
                self._parameters[index].grad = None
            elif result.is_sparse:
                self._parameters[index].grad = result  # has travelled as it is
            else:
                self._give(index, self._compression.decompress(result, context))
            self._left[index] = self._parameters[index].grad

    def end(self) -> None:
        """Bring to its end what an error has interrupted, be some of it started here or nothing.

        Raises:
            HorovodInternalError: It cannot be ended.
        """
        self._exchange(is_interrupted=True)

    def forget(self) -> None:
        """Begin a new step, whatever has become of the last."""
        self._presence = self._agreed = None
        self._begun.clear()
        self._awaited.clear()
        self._own_converted.clear()
        self._left.clear()  # or gradients that were dropped would stay

    def is_dropped(self, index: int) -> bool:
        """Tell whether a gradient is not what `finish` has left.

        Args:
            index: Of the gradient.

        Returns:
            True if it is another tensor, or none.
        """
        gradient = self._parameters[index].grad
        return gradient is None or gradient is not self._left.get(index)

    def _agree(self) -> tuple[list[int], dict[int, HorovodInternalError]]:
        """Tell who has a gradient at all, and learn which are or were sparse on any rank.

        Returns:
            On how many ranks each is there; what is wrong with those that cannot be exchanged.
        """
        gradients = [parameter.grad for parameter in self._parameters]
        told = np.array(
            [
                [gradient is not None for gradient in gradients],
                [gradient is not None and gradient.is_sparse for gradient in gradients],
                [index in self._own_converted for index in range(len(gradients))],
            ],
            np.int32,
        )
        with told_to_horovod():
            if self._presence is None:  # else Ctrl-C has ended the wait for it
                # A sum, for ranks that have joined take part in no maximum.
                terms = Terms(op=Sum, step=self._updates.begin())
                call = ("allreduce_async_", Collective.ALLREDUCE, told, f"{self._name}: presence")
                group = group_of("Allreduce", self._process_set)
                self._presence = start(*call, None, terms, group)
            owners, sparse_owners, converters = self._presence.result().tolist()
        self._presence = None
        self._converted = [index for index, count in enumerate(converters) if count]
        unusable: dict[int, HorovodInternalError] = {}
        for index, count in enumerate(sparse_owners):
            if not count or self._is_sparse[index]:
                continue
            if owners[index] > count:
                unusable[index] = mixed_forms(self._name, self._names[index])
            elif self._op not in {Average, Sum}:
                unusable[index] = HorovodInternalError(
                    f"[{self._name}] '{self._names[index]}': its gradient is sparse and op is "
                    f"{self._op.name}. Sparse tensors are reduced by Average or Sum only. Pass "
                    "sparse_as_dense=True to DistributedOptimizer."
                )
            else:
                self._is_sparse[index] = True
        return owners, unusable

    def _begin(self, index: int, gradient: torch.Tensor | None) -> None:
        parameter, name = self._parameters[index], f"{self._name}.{self._names[index]}"
        if gradient is None:
            gradient = (
                _empty_like(parameter)
                if self._is_sparse[index]
                else torch.zeros_like(parameter, requires_grad=False)
            )
        if self._is_sparse[index] and not gradient.is_sparse:
            gradient = gradient.to_sparse(1)
        if gradient.is_sparse:
            wait = sparse_allreduce_async(gradient, name, self._op, self._process_set)
            self._begun[index] = wait, None
            return
        self._start(index, *self._compression.compress(gradient))

    def _begin_late(self, index: int, is_unusable: bool, is_interrupted: bool) -> None:
        """Start what no hook has started, for others wait for it."""
        parameter = self._parameters[index]
        gradient = parameter.grad
        if is_unusable and gradient is not None and gradient.is_sparse:
            gradient = gradient.to_dense()  # others may have started it so
        try:
            self._begin(index, gradient)
        except Exception:  # of a compressor, say; it has been told
            if not is_interrupted:
                raise
            self._start(index, *self._zeros_for(parameter))

    def _zeros_for(self, parameter: torch.Tensor) -> tuple[torch.Tensor, Any]:
        zeros = torch.zeros_like(parameter, requires_grad=False)
        try:
            return self._compression.compress(zeros)
        except Exception:  # has been told
            return zeros, None

    def _start(self, index: int, wire: torch.Tensor, context: Any) -> None:
        name = f"{self._name}.{self._names[index]}"
        before, after = self._scales
        handle = allreduce_async_(
            wire.detach(),
            name=name,
            op=self._op,
            prescale_factor=before,
            postscale_factor=after,
            process_set=self._process_set,
        )
        self._begun[index] = functools.partial(synchronize, handle), context

    def _wait_all(self) -> dict[int, tuple[torch.Tensor, Any]]:
        """Leave no handle behind: all gradients are free again when the first failure is told."""
        results = {}
        first: HorovodInternalError | None = None
        for index, (wait, context) in list(self._begun.items()):
            try:
                results[index] = wait(), context
            except HorovodInternalError as error:
                first = first or error
            del self._begun[index]  # what Ctrl-C ends the wait for is in flight
            self._awaited.add(index)
        if first is not None:
            raise first
        return results

    def _give(self, index: int, result: torch.Tensor) -> None:
        parameter = self._parameters[index]
        gradient = parameter.grad
        if gradient is None or gradient.is_sparse:
            parameter.grad = result
        elif result.data_ptr() != gradient.data_ptr():
            with torch.no_grad():
                gradient.copy_(result)


def mixed_forms(place: str, name: str) -> HorovodInternalError:
    """Say that ranks have gradients of unlike forms.

    Args:
        place: Of the set of parameters.
        name: The parameter's.

    Returns:
        The error.
    """
    return HorovodInternalError(
        f"[{place}] '{name}': its gradient is sparse on some ranks and dense on others. Pass "
        "sparse_as_dense=True to DistributedOptimizer, or make the same use of it on all ranks."
    )


def _empty_like(parameter: torch.Tensor) -> torch.Tensor:
    # One dimension of indices, as embeddings have it.
    indices = parameter.detach().new_zeros(1, 0, dtype=torch.int64)
    values = parameter.detach().new_zeros(0, *parameter.shape[1:])
    # There is nothing to check; where nothing is said of that, torch warns.
    return torch.sparse_coo_tensor(indices, values, parameter.shape, check_invariants=False)
