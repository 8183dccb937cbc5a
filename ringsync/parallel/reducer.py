"""The exchange of gradients, whatever framework computed them: three callbacks drive it.

It starts a bucket's allreduce as soon as the bucket's last gradient is final and all earlier
buckets have been submitted, so that all ranks submit in one order; when backward ends it submits
what is left, zero where there is no gradient, and waits. Gradients that are to be weighed wait
until the weights are known. A parameter without a gradient on every rank stays without one, as in a
world of one. It knows no optimizer and no layer.
"""

from __future__ import annotations

import time
import weakref

from ringsync.collectives import ReduceOp
from ringsync.errors import ConfigError, RingsyncError
from ringsync.group import ProcessGroup
from ringsync.parallel.arena import Arena, Bucket, make_arena
from ringsync.parallel.in_flight import InFlight
from ringsync.parallel.layout import check_equal_start
from ringsync.parallel.presence import Told, number_of, read_presence
from ringsync.parallel.source import GradientSource
from ringsync.parallel.space import Place
from ringsync.parallel.stats import ExchangeAccount, ExchangeStats
from ringsync.parallel.updates import UpdateCount
from ringsync.parallel.weights import exchange_share
from ringsync.runtime import Runtime, current, is_initialized
from ringsync.timeline import mark


class GradientReducer:
    """Exchanges the gradients of one set of parameters, step by step."""

    def __init__(  # noqa: PLR0913 - keywords, of which callers pass some
        self,
        source: GradientSource,
        *,
        op: ReduceOp,
        bucket_bytes: int,
        accumulate_steps: int,
        name: str,
        group: ProcessGroup | None = None,
        is_weighted: bool = False,
        is_checked: bool = False,
        updates: UpdateCount | None = None,
    ) -> None:
        """Lay out the gradients' memory.

        Args:
            source: The framework's parameters.
            op: How gradients of several ranks become one.
            bucket_bytes: Most bytes in a bucket of more than one tensor.
            accumulate_steps: Backward passes per exchange.
            name: Name of this set of parameters, equal on all ranks.
            group: Whose ranks exchange them, this one among them; None: all.
            is_weighted: Nothing is exchanged before `finish`, which weighs the gradients; `op` is
                Average.
            is_checked: The parameters are compared elsewhere.
            updates: That the optimizer makes by these gradients, counted by whoever makes them; at
                ranks that have made unlike ones every exchange is a MismatchError. None: not
                counted.

        Raises:
            RingsyncError: There is no room.
        """
        self._source = source
        # An average of gradients that bring their share along is their sum.
        self._op = ReduceOp.Sum if is_weighted else op
        self._is_weighted = is_weighted
        self._told = Told()
        self._share = 1.0
        self._accumulate_steps = accumulate_steps
        self._name = name
        self._group = group
        specs = source.specs()
        self._arena: Arena = make_arena(specs, bucket_bytes, name, source.space)
        self._bucket_of = {
            index: k for k, bucket in enumerate(self._arena.buckets) for index in bucket.members
        }
        self._is_checked = is_checked
        self._account = ExchangeAccount()
        self._updates = UpdateCount(group) if updates is None else updates
        self._refused_passes = 0
        self._idle_since_ns = 0
        self._began_ns = 0
        self._passes = 0
        self._begun_in: weakref.ref[Runtime] | None = None
        self._is_exchanged = False
        self._missing: list[set[int]] = []
        self.forget()

    @property
    def views(self) -> list[Place]:
        """Memory of each parameter's gradient, by index."""
        return self._arena.views

    @property
    def elsewhere(self) -> list[int]:
        """Parameters whose gradients travel elsewhere on any rank, as of the last exchange."""
        return self._told.elsewhere

    @property
    def converted(self) -> list[int]:
        """Parameters whose gradients had another form on any rank, as of the last exchange."""
        return self._told.converted

    def began(self) -> None:
        """Note the start of a backward pass.

        Raises:
            ConfigError: Gradients of this step have been exchanged already.
            MismatchError: At the first step: ranks hold different parameters, or only some of them
                weigh gradients.
        """
        if self._passes == self._accumulate_steps:
            self._refused_passes += 1
            raise ConfigError(
                f"[{self._name}] backward ran {self._passes + 1} times before step(); "
                f"accumulate_steps={self._accumulate_steps} passes are exchanged at once. Call "
                "step() or zero_grad() first, or pass a larger accumulate_steps."
            )
        mark("forward", self._idle_since_ns)
        self._check_start()
        self._began_ns = time.monotonic_ns()

    def final(self, index: int) -> None:
        """Note that a gradient of the pass under way will not change any more.

        Args:
            index: The parameter's.
        """
        if self._is_weighted or self._passes < self._accumulate_steps - 1:
            return
        self._begin()
        self._bring(index)  # while it is in the caches
        self._missing[self._bucket_of[index]].discard(index)
        submitted = self._in_flight.handles
        while len(submitted) < len(self._missing) and not self._missing[len(submitted)]:
            self._submit(self._arena.buckets[len(submitted)])

    def ended(self) -> None:
        """Note the end of a pass; the last one of a step returns with all gradients exchanged.

        Raises:
            PeerLostError: A rank died.
            TimedOutError: A rank did not take part in time.
            MismatchError: Ranks disagree on a bucket.
        """
        self._passes += 1
        end_ns = time.monotonic_ns()
        mark("backward", self._began_ns, end_ns)
        if self._passes == self._accumulate_steps and not self._is_weighted:
            self._exchange_rest(end_ns)
        self._idle_since_ns = time.monotonic_ns()

    def finish(self, weight: object = None) -> None:
        """Exchange what no pass has: too few passes ran, none reached a parameter, or all wait.

        Args:
            weight: Of this rank's gradients, where they are weighed.

        Raises:
            ConfigError: A rank's weight cannot be used; on every rank alike.
            PeerLostError: A rank died.
            TimedOutError: A rank did not take part in time.
            MismatchError: Ranks disagree on a bucket, or at the first step on the parameters.
        """
        if self._is_exchanged:
            return
        self._check_start()
        if self._is_weighted and not self._is_begun():
            self._share = exchange_share(
                weight, f"{self._name}.weight", self._group, self._refused_passes
            )
        self._passes = self._accumulate_steps
        self._exchange_rest(time.monotonic_ns())

    def reset(self) -> None:
        """Begin a new step: gradients are the optimizer's business until the next backward.

        An exchange that an error or Ctrl-C has interrupted is first brought to its end.

        Raises:
            RingsyncError: It cannot be ended; a rank died, for example.
        """
        try:
            if self._is_begun():
                self.end()
        except RingsyncError:
            self.forget()
            self._updates.end()
            raise
        self.forget()  # not after Ctrl-C: it is still to be ended
        self._updates.end()

    def end(self) -> None:
        """Bring an interrupted exchange to its end, with zeros for what cannot be sent.

        Peers may still be reading this rank's gradients, or waiting for them.

        Raises:
            RingsyncError: It cannot be ended.
        """
        if not self._is_exchanged:
            for bucket in self._rest():
                self._submit(bucket, is_interrupted=True)
            self._wait()

    def forget(self) -> None:
        """Begin a new step, whatever has become of the last."""
        self._passes = self._refused_passes = 0
        self._in_flight = InFlight(self._op, self._updates, self._group)
        self._begun_in = None
        self._is_exchanged = False
        self._missing = [set(bucket.members) for bucket in self._arena.buckets]
        self._idle_since_ns = time.monotonic_ns()

    def take_stats(self) -> ExchangeStats:
        """Return what the exchanges since the last call cost, once devices are done with them.

        Returns:
            Sums over the steps.

        Raises:
            RingsyncError: One has failed on its device since its step.
        """
        return self._account.take()

    def _is_begun(self) -> bool:
        """Whether others may wait for gradients of this step; those of another world do not."""
        begun_in = None if self._begun_in is None else self._begun_in()
        return begun_in is not None and is_initialized() and begun_in is current()

    def _check_start(self) -> None:
        if not self._is_checked:
            check_equal_start(
                self._source.specs(),
                self._source.values(),
                self._name,
                self._group,
                self._is_weighted,
            )
            self._is_checked = True

    def _rest(self) -> list[Bucket]:
        """What has not been submitted yet."""
        return self._arena.buckets[len(self._in_flight.handles) :]

    def _submit(self, bucket: Bucket, is_interrupted: bool = False) -> None:
        self._gather(bucket, is_interrupted)
        self._in_flight.submit(bucket)

    def _gather(self, bucket: Bucket, is_interrupted: bool) -> None:
        """Have all gradients of a bucket in the arena, zero what is not there at all.

        After an error, which has been told, what the framework cannot give is left alone.
        """
        presence: list[float] = []
        for index in bucket.members:
            try:
                is_there = self._share > 0 and self._bring(index)
            except Exception:
                if not is_interrupted:
                    raise
                is_there = False
            presence.append(number_of(self._source, index, is_there))
            if is_there:
                continue
            view = self._arena.views[index]
            bucket.space.clear(view)
            if not is_interrupted:
                self._source.adopt(index, view)
        if self._share != 1:  # once all have come, for what fails may be gathered once more
            bucket.space.scale(bucket.gradients, self._share)
        bucket.presence[:] = presence

    def _bring(self, index: int) -> bool:
        """Copy a gradient that lies elsewhere to the arena; tell whether there is one at all."""
        view = self._arena.views[index]
        gradient = self._source.gradient(index)
        if gradient is None or gradient is view:
            return gradient is not None
        start_ns = time.monotonic_ns()
        bucket = self._arena.buckets[self._bucket_of[index]]
        bucket.space.copy(view, gradient)
        self._source.adopt(index, view)
        mark("pack", start_ns, None, bucket.name, view.nbytes)
        return True

    def _begin(self) -> None:
        if self._begun_in is None:
            self._in_flight.begin()
            self._begun_in = weakref.ref(current())

    def _exchange_rest(self, compute_end_ns: int) -> None:
        self._begin()
        for bucket in self._rest():
            self._submit(bucket)
        self._wait()
        self._account.add(self._in_flight.handles, compute_end_ns)

    def _take_end(self) -> None:
        self._is_exchanged = True  # nobody waits for any more; after Ctrl-C others may
        self._updates.exchanged()

    def _wait(self) -> None:
        try:
            self._in_flight.wait()
        except RingsyncError:
            self._take_end()
            raise
        self._take_end()
        self._told = read_presence(self._arena.buckets)
        for index in self._told.absent:
            self._source.adopt(index, None)
