"""`DistributedOptimizer`: an optimizer of the learning library whose gradients are every rank's."""

from __future__ import annotations

import math
import time
from typing import NoReturn, SupportsIndex

from ringsync.arrays import Array
from ringsync.autograd import Parameter
from ringsync.collectives import ReduceOp
from ringsync.errors import ConfigError
from ringsync.group import ProcessGroup, ranks_of
from ringsync.optim import Optimizer
from ringsync.parallel.reducer import GradientReducer
from ringsync.parallel.stats import ExchangeStats
from ringsync.parallel.updates import UpdateCount
from ringsync.parallel.watching import Observer, Parameters, check_unwatched
from ringsync.parallel.weights import exchange_share
from ringsync.runtime import current
from ringsync.timeline import mark
from ringsync.words import in_line, kind_of

# Beyond any memory; the native core counts in 64 bits.
_MOST_BUCKET_BYTES = 2**62


class Ring:
    """Gradients are averaged by allreduce, overlapped with backward."""


class DistributedOptimizer:
    """Wraps an optimizer so that every step uses the gradients of all ranks.

    Gradients are exchanged during backward, bucket by bucket; the last backward of a step returns
    with all of them reduced, so code between backward and `step` (clipping, logging) sees the
    common gradients. After an error gradients are unspecified; `zero_grad` restores use. `step`
    exchanges whatever no backward has, so every rank calls it equally often, or calls `join` after
    its last step. It makes one step at least, because the first compares the ranks' parameters.
    Several wrapped optimizers in one script are fine as long as every backward reaches the same
    ones on all ranks. Parameters may lie on the host, on a GPU or on both, alike on all ranks, and
    stay there from then on.

    Example:
        >>> optimizer = DistributedOptimizer(optim.SGD(net.parameters(), lr=0.1))
    """

    def __init__(  # noqa: PLR0913 - keywords, of which callers pass one or two
        self,
        optimizer: Optimizer,
        *,
        op: ReduceOp = ReduceOp.Average,
        codec: str | None = None,
        accumulate_steps: int = 1,
        bucket_mib: float | None = None,
        group: ProcessGroup | None = None,
        sync: Ring | None = None,
        weighted: bool = False,
    ) -> None:
        """Lay out the gradients and watch the parameters.

        Args:
            optimizer: What updates the parameters; equal on every rank.
            op: `Average` or `Sum`.
            codec: Form on the wire; only None so far.
            accumulate_steps: Backward passes per exchange; their gradients add up.
            bucket_mib: Largest bucket in MiB; None means RINGSYNC_BUCKET_MIB. There are at least
                three buckets, as far as single parameters allow.
            group: Of `new_group`, this rank among its ranks: gradients are exchanged among those
                alone. None: all ranks.
            sync: How gradients are exchanged; None means `Ring()`, the only one so far.
            weighted: Every `step` takes a weight, for batches of unlike length: gradients stay the
                rank's own until then, and are exchanged in `step`. For `Average` only; equal on
                every rank.

        Raises:
            ConfigError: An argument cannot be used.
            NotInitializedError: Before `init`.
            RingsyncError: There is no room for the gradients.
        """
        runtime = current()
        _check(optimizer, op, codec, accumulate_steps, bucket_mib, sync, weighted)
        self._optimizer = optimizer
        self._is_weighted = weighted
        self._group = group
        self._reducer: GradientReducer | None = None
        self._updates = UpdateCount(group)
        ranks = ranks_of("DistributedOptimizer", group)
        if len(ranks) > 1:
            check_unwatched(optimizer.parameters)
            mib = runtime.settings.bucket_mib if bucket_mib is None else bucket_mib
            source = Parameters(optimizer.parameters)
            self._reducer = GradientReducer(
                source,
                op=op,
                bucket_bytes=min(max(1, int(mib * 2**20)), _MOST_BUCKET_BYTES),
                accumulate_steps=accumulate_steps,
                # Each group counts for itself: a rank need not be in as many as another.
                name=f"gradients.{runtime.next_number(f'gradients of {group}')}",
                group=group,
                is_weighted=weighted,
                updates=self._updates,
            )
            observer = Observer(self._reducer, optimizer.parameters, runtime)
            for parameter, view in zip(optimizer.parameters, self._reducer.views, strict=True):
                parameter.grad_buffer = view
                parameter.observer = observer

    @property
    def bare(self) -> Optimizer:
        """The wrapped optimizer."""
        return self._optimizer

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

    def step(self, *, weight: float | None = None) -> None:
        """Update every parameter with the gradients of all ranks.

        Args:
            weight: With `weighted=True`: how much this rank's gradients count, usually the length
                of its batch. The update uses sum(weight * gradient) / sum(weight) over the ranks,
                which for gradients of means is that of the mean over all ranks' batches together.
                With 0 they do not count at all, whatever they are. Else None.

        Raises:
            ConfigError: A weight was given although gradients are exchanged before they can be
                weighed; or a rank gave none that can be used, on every rank alike, and nothing has
                been exchanged or updated.
            PeerLostError: A rank died.
            TimedOutError: A rank did not take part in time.
            MismatchError: Ranks have not made the same updates, or, with weights, only some have
                had a backward pass refused; or at the first step: ranks hold different parameters,
                or only some were made with `weighted=True`.

        Cost: With a weight the whole exchange, because no part of it overlaps backward, one small
            allreduce before it, and a pass over the gradients.

        Example:
            >>> optimizer = DistributedOptimizer(optim.SGD(net.parameters(), lr=0.1), weighted=True)
            >>> optimizer.step(weight=len(x))
        """
        if weight is not None and not self._is_weighted:
            raise ConfigError(
                f"[step] weight={in_line(weight)} comes too late: gradients are exchanged during "
                "backward. Make the optimizer with DistributedOptimizer(..., weighted=True), which "
                "holds them back until step."
            )
        if self._reducer is None:
            if self._is_weighted:
                exchange_share(weight, "", self._group)  # only to check it
            self._optimizer.step()
            return
        self._reducer.finish(weight)
        start_ns = time.monotonic_ns()
        self._optimizer.step()
        self._updates.add()
        mark("step", start_ns)
        self._reducer.reset()

    def zero_grad(self) -> None:
        """Forget all gradients; the next backward overwrites them.

        Raises:
            RingsyncError: An exchange that an error had interrupted cannot be ended.
        """
        if self._reducer is not None:
            self._reducer.reset()
        self._optimizer.zero_grad()

    def state_dict(self) -> dict[str, Array | float]:
        """Return the wrapped optimizer's state.

        Returns:
            Its own `state_dict`.
        """
        return self._optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Array | float]) -> None:
        """Restore the wrapped optimizer's state; every rank does, or all get it by a broadcast.

        Between two steps. Those are counted from here on, so ranks that were a step apart and have
        all loaded one checkpoint go on; the parameters' values are not compared again.

        Args:
            state: What `state_dict` returned.

        Raises:
            ConfigError: A value of the state cannot be one.
            MismatchError: The state is of another optimizer.
        """
        self._optimizer.load_state_dict(state)
        self._updates.restart()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be copied: gradients can have one owner.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            "[DistributedOptimizer] it cannot be copied or pickled, because it watches its "
            "parameters' gradients. Save state_dict(), or wrap a copy of the plain optimizer."
        )

    def take_stats(self) -> ExchangeStats:
        """Return what the exchanges since the last call cost on this rank.

        Returns:
            Sums over the steps; all zero in a world of size 1.
        """
        return ExchangeStats() if self._reducer is None else self._reducer.take_stats()


def _check(
    optimizer: Optimizer,
    op: ReduceOp,
    codec: str | None,
    accumulate_steps: int,
    bucket_mib: float | None,
    sync: Ring | None,
    weighted: bool,
) -> None:
    place = "[DistributedOptimizer]"
    if not isinstance(optimizer, Optimizer):
        raise ConfigError(
            f"{place} {kind_of(optimizer)} is no optimizer of ringsync.optim. Pass, for "
            "example, optim.SGD(net.parameters(), lr=0.1)."
        )
    if not isinstance(op, ReduceOp):
        raise ConfigError(f"{place} op={in_line(op)}; a ReduceOp is expected. Use Average or Sum.")
    if op not in {ReduceOp.Average, ReduceOp.Sum}:
        raise ConfigError(f"{place} op={op.name} is not built yet. Use Average or Sum.")
    if not isinstance(weighted, bool):
        raise ConfigError(
            f"{place} weighted={in_line(weighted)}; True or False is expected. Pass the weights "
            "themselves to step(weight=)."
        )
    if weighted and op is not ReduceOp.Average:
        raise ConfigError(
            f"{place} weighted=True with op={op.name}; weights make an average. Leave op out, or "
            "weighted."
        )
    if codec is not None:
        raise ConfigError(f"{place} codec={in_line(codec)}: no codec is built yet. Leave it None.")
    is_whole = isinstance(accumulate_steps, int) and not isinstance(accumulate_steps, bool)
    if not is_whole or accumulate_steps < 1:
        raise ConfigError(
            f"{place} accumulate_steps={in_line(accumulate_steps)}; a whole number from 1 is "
            "expected. Leave it 1 to exchange every backward."
        )
    is_number = isinstance(bucket_mib, int | float) and not isinstance(bucket_mib, bool)
    if bucket_mib is not None and not (is_number and 0 < bucket_mib < math.inf):
        raise ConfigError(
            f"{place} bucket_mib={in_line(bucket_mib)}; a number above 0 is expected. Leave it "
            "None to take RINGSYNC_BUCKET_MIB."
        )
    if sync is not None and not isinstance(sync, Ring):
        raise ConfigError(
            f"{place} sync={in_line(sync)} is not built yet. Leave it None, or pass Ring()."
        )
