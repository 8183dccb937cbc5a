"""`DistributedOptimizer`: an optimizer of the learning library whose gradients are every rank's."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ringsync.arrays import Array
from ringsync.autograd import Parameter, Tensor
from ringsync.collectives import ReduceOp
from ringsync.errors import ConfigError
from ringsync.optim import Optimizer
from ringsync.parallel.layout import TensorSpec
from ringsync.parallel.reducer import GradientReducer
from ringsync.parallel.stats import ExchangeStats
from ringsync.runtime import current
from ringsync.timeline import mark


class Ring:
    """Gradients are averaged by allreduce, overlapped with backward."""


class DistributedOptimizer:
    """Wraps an optimizer so that every step uses the gradients of all ranks.

    Gradients are exchanged during backward, bucket by bucket; the last backward of a step returns
    with all of them reduced, so code between backward and `step` (clipping, logging) sees the
    common gradients. After an error gradients are unspecified; `zero_grad` restores use.

    Example:
        >>> optimizer = DistributedOptimizer(optim.SGD(net.parameters(), lr=0.1))
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        op: ReduceOp = ReduceOp.Average,
        codec: str | None = None,
        accumulate_steps: int = 1,
        bucket_mib: float | None = None,
        sync: Ring | None = None,
    ) -> None:
        """Lay out the gradients and watch the parameters.

        Args:
            optimizer: What updates the parameters; equal on every rank.
            op: `Average` or `Sum`.
            codec: Form on the wire; only None so far.
            accumulate_steps: Backward passes per exchange; their gradients add up.
            bucket_mib: Largest bucket in MiB; None means RINGSYNC_BUCKET_MIB. There are at least
                three buckets, as far as single parameters allow.
            sync: How gradients are exchanged; None means `Ring()`, the only one so far.

        Raises:
            ConfigError: An argument cannot be used.
            NotInitializedError: Before `init`.
            RingsyncError: There is no room for the gradients.
        """
        runtime = current()
        _check(optimizer, op, codec, accumulate_steps, bucket_mib, sync)
        self._optimizer = optimizer
        self._reducer: GradientReducer | None = None
        if runtime.world.size > 1:
            mib = runtime.settings.bucket_mib if bucket_mib is None else bucket_mib
            source = _Parameters(optimizer.parameters)
            self._reducer = GradientReducer(
                source,
                op=op,
                bucket_bytes=max(1, int(mib * 2**20)),
                accumulate_steps=accumulate_steps,
                name=f"gradients.{runtime.next_number()}",
            )
            _watch(optimizer.parameters, self._reducer)

    @property
    def parameters(self) -> list[Parameter]:
        """The wrapped optimizer's parameters."""
        return self._optimizer.parameters

    @property
    def lr(self) -> float:
        """Learning rate of the next step."""
        return self._optimizer.lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._optimizer.lr = value

    def step(self) -> None:
        """Update every parameter with the gradients of all ranks.

        Raises:
            PeerLostError: A rank died.
            TimedOutError: A rank did not take part in time.
            MismatchError: At the first step: ranks hold different parameters.
        """
        if self._reducer is None:
            self._optimizer.step()
            return
        self._reducer.finish()
        start_ns = time.monotonic_ns()
        self._optimizer.step()
        mark("step", start_ns)
        self._reducer.reset()

    def zero_grad(self) -> None:
        """Forget all gradients; the next backward overwrites them."""
        self._optimizer.zero_grad()
        if self._reducer is not None:
            self._reducer.reset()

    def state_dict(self) -> dict[str, Array | float]:
        """Return the wrapped optimizer's state.

        Returns:
            Its own `state_dict`.
        """
        return self._optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Array | float]) -> None:
        """Restore the wrapped optimizer's state.

        Args:
            state: What `state_dict` returned.

        Raises:
            MismatchError: The state is of another optimizer.
        """
        self._optimizer.load_state_dict(state)

    def take_stats(self) -> ExchangeStats:
        """Return what the exchanges since the last call cost on this rank.

        Returns:
            Sums over the steps; all zero in a world of size 1.
        """
        return ExchangeStats() if self._reducer is None else self._reducer.take_stats()


class _Parameters:
    """The learning library's parameters as the reducer sees them."""

    def __init__(self, parameters: list[Parameter]) -> None:
        self._parameters = parameters

    def specs(self) -> Sequence[TensorSpec]:
        return [
            TensorSpec(parameter.name or f"parameter {i}", parameter.shape, parameter.dtype.name)
            for i, parameter in enumerate(self._parameters)
        ]

    def values(self) -> Sequence[Array]:
        return [parameter.data for parameter in self._parameters]

    def gradient(self, index: int) -> Array | None:
        return self._parameters[index].grad

    def adopt(self, index: int, view: Array) -> None:
        self._parameters[index].grad = view


class _Observer:
    """Passes what the tape says on to the reducer, parameters by index."""

    def __init__(self, reducer: GradientReducer, parameters: list[Parameter]) -> None:
        self._reducer = reducer
        self._index = {id(parameter): i for i, parameter in enumerate(parameters)}

    def backward_began(self) -> None:
        self._reducer.began()

    def gradient_final(self, tensor: Tensor) -> None:
        self._reducer.final(self._index[id(tensor)])

    def backward_ended(self) -> None:
        self._reducer.ended()


def _watch(parameters: list[Parameter], reducer: GradientReducer) -> None:
    observer = _Observer(reducer, parameters)
    for parameter, view in zip(parameters, reducer.views, strict=True):
        if parameter.observer is not None:
            raise ConfigError(
                f"[DistributedOptimizer] '{parameter.name}' is already watched by another "
                "DistributedOptimizer. Wrap each optimizer once."
            )
        parameter.grad_buffer = view
        parameter.observer = observer


def _check(
    optimizer: Optimizer,
    op: ReduceOp,
    codec: str | None,
    accumulate_steps: int,
    bucket_mib: float | None,
    sync: Ring | None,
) -> None:
    place = "[DistributedOptimizer]"
    if not isinstance(optimizer, Optimizer):
        raise ConfigError(
            f"{place} a {type(optimizer).__name__} is no optimizer of ringsync.optim. Pass, for "
            "example, optim.SGD(net.parameters(), lr=0.1)."
        )
    if op not in {ReduceOp.Average, ReduceOp.Sum}:
        raise ConfigError(f"{place} op={op!r} is not built yet. Use Average or Sum.")
    if codec is not None:
        raise ConfigError(f"{place} codec={codec!r}: no codec is built yet. Leave it None.")
    if not isinstance(accumulate_steps, int) or accumulate_steps < 1:
        raise ConfigError(
            f"{place} accumulate_steps={accumulate_steps!r}; a whole number from 1 is expected."
        )
    if bucket_mib is not None and not bucket_mib > 0:
        raise ConfigError(f"{place} bucket_mib={bucket_mib!r}; a number above 0 is expected.")
    if sync is not None and not isinstance(sync, Ring):
        raise ConfigError(f"{place} sync={sync!r} is not built yet. Leave it None, or pass Ring().")
