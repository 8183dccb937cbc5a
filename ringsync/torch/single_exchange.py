"""Gradients that travel one by one: compressed, sparse, of dtypes that NumPy does not know."""

from __future__ import annotations

from typing import Any

import torch

from ringsync.collectives import ReduceOp
from ringsync.torch.asking import Max
from ringsync.torch.compression import Compressor
from ringsync.torch.gathering import sparse_allreduce_async
from ringsync.torch.handles import synchronize
from ringsync.torch.process_sets import ProcessSet
from ringsync.torch.reducing import allreduce_, allreduce_async_


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
    ) -> None:
        """Keep what it takes.

        Args:
            op: How several gradients become one.
            compression: Form in which dense gradients travel.
            scales: Factors before and after.
            name: Of this set of parameters, equal on all ranks.
            process_set: Whose ranks exchange.
        """
        self._parameters: list[torch.Tensor] = []
        self._names: list[str] = []
        self._op = op
        self._compression = compression
        self._scales = scales
        self._name = name
        self._process_set = process_set
        self._is_sparse: list[bool] = []
        self._begun: dict[int, tuple[Any, Any]] = {}
        self._left: dict[int, torch.Tensor | None] = {}

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
        self._begin(index, self._parameters[index].grad)

    def finish(self) -> None:
        """Start the rest with zeros, and wait; what no rank has stays away."""
        if not self._parameters:
            return
        has_one = torch.tensor(
            [parameter.grad is not None for parameter in self._parameters], dtype=torch.uint8
        )
        for index in range(len(self._parameters)):
            if index not in self._begun:
                self._begin(index, self._parameters[index].grad)
        allreduce_(has_one, name=f"{self._name}.presence", op=Max, process_set=self._process_set)
        for index, (handle, context) in self._begun.items():
            result = handle() if callable(handle) else synchronize(handle)
            if not has_one[index]:
                self._parameters[index].grad = None
            else:
                self._give(index, self._compression.decompress(result, context))
            self._left[index] = self._parameters[index].grad
        self._begun.clear()

    def reset(self) -> None:
        """Begin a new step; what an error has left in flight is brought to its end."""
        for handle, _ in self._begun.values():
            if callable(handle):
                handle()
            else:
                synchronize(handle)
        self._begun.clear()

    def is_dropped(self, index: int) -> bool:
        """Tell whether a gradient is not what `finish` has left.

        Args:
            index: Of the gradient.

        Returns:
            True if it is another tensor, or none.
        """
        gradient = self._parameters[index].grad
        return gradient is None or gradient is not self._left.get(index)

    def _begin(self, index: int, gradient: torch.Tensor | None) -> None:
        parameter, name = self._parameters[index], f"{self._name}.{self._names[index]}"
        if gradient is None:
            gradient = (
                _empty_like(parameter)
                if self._is_sparse[index]
                else torch.zeros_like(parameter, requires_grad=False)
            )
        if gradient.is_sparse:
            self._is_sparse[index] = True
            finish = sparse_allreduce_async(gradient, name, self._op, self._process_set)
            self._begun[index] = finish, None
            return
        wire, context = self._compression.compress(gradient)
        before, after = self._scales
        handle = allreduce_async_(
            wire.detach(),
            name=name,
            op=self._op,
            prescale_factor=before,
            postscale_factor=after,
            process_set=self._process_set,
        )
        self._begun[index] = handle, context

    def _give(self, index: int, result: torch.Tensor) -> None:
        parameter = self._parameters[index]
        gradient = parameter.grad
        if gradient is None or result.is_sparse or gradient.is_sparse:
            parameter.grad = result
        elif result is not gradient:
            with torch.no_grad():
                gradient.copy_(result)


def _empty_like(parameter: torch.Tensor) -> torch.Tensor:
    # One dimension of indices, as embeddings have it.
    indices = torch.zeros(1, 0, dtype=torch.int64)
    values = parameter.detach().new_zeros(0, *parameter.shape[1:])
    return torch.sparse_coo_tensor(indices, values, parameter.shape)
