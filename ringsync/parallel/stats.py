"""What the exchange of gradients cost: communication, how much of it was hidden, and waiting.

Figures come from interval unions, never from sums of durations.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from ringsync.errors import RingsyncError
from ringsync.handle import Handle, Times, wait_all

_NS_PER_MS = 1e6


@dataclass(slots=True)
class ExchangeStats:
    """Sums over the steps since the last `take_stats`.

    Attributes:
        steps: Exchanges completed.
        communication_ms: Time in which this rank's engine moved or summed gradients; on a device
            from all ranks' calls on until it was done there, what it had to do first included.
        hidden_ms: The part of it during which backward was still computing.
        waiting_ms: Time in which the engine waited for other ranks to submit.
    """

    steps: int = 0
    communication_ms: float = 0.0
    hidden_ms: float = 0.0
    waiting_ms: float = 0.0

    @property
    def overlap(self) -> float:
        """Share of communication hidden behind compute, 0 to 1; 0 without communication."""
        return self.hidden_ms / self.communication_ms if self.communication_ms else 0.0

    @property
    def exposed_ms(self) -> float:
        """Communication that was not hidden: what a faster exchange could save at most."""
        return self.communication_ms - self.hidden_ms

    def add_step(self, times: Iterable[Times], compute_end_ns: int) -> None:
        """Account for one exchange.

        Args:
            times: Stages of each bucket, in the order in which they run: on the host one begins
                when the one before is done, on a device all ranks may have agreed on it earlier,
                and several may be announced at a time.
            compute_end_ns: When backward had computed its last gradient.
        """
        self.steps += 1
        covered_ns = waited_ns = 0
        for bucket in times:
            begin_ns, end_ns = max(bucket.agreed_ns, covered_ns), max(bucket.done_ns, covered_ns)
            covered_ns = end_ns
            self.communication_ms += max(0, end_ns - begin_ns) / _NS_PER_MS
            started_ns = max(bucket.started_ns, waited_ns)
            self.waiting_ms += max(0, bucket.agreed_ns - started_ns) / _NS_PER_MS
            waited_ns = max(bucket.agreed_ns, waited_ns)
            hidden_ns = min(end_ns, compute_end_ns) - min(begin_ns, compute_end_ns)
            self.hidden_ms += max(0, hidden_ns) / _NS_PER_MS


class ExchangeAccount:
    """Sums up exchanges, each once it is done: on a device that may be after its step."""

    def __init__(self) -> None:
        """Begin with none."""
        self._stats = ExchangeStats()
        self._open: deque[tuple[list[Handle], int]] = deque()

    def add(self, handles: list[Handle], compute_end_ns: int) -> None:
        """Take note of an exchange; waits for nothing.

        Args:
            handles: One of each bucket.
            compute_end_ns: When backward had computed its last gradient.
        """
        self._open.append((handles, compute_end_ns))
        while self._open and all(handle.done() for handle in self._open[0][0]):
            self._close_first()

    def take(self) -> ExchangeStats:
        """Begin anew, once all exchanges so far are done.

        Returns:
            The sums.

        Raises:
            RingsyncError: An exchange has failed on its device since its step.
        """
        while self._open:
            try:
                wait_all(self._open[0][0])
            except RingsyncError:
                self._open.clear()  # what comes behind it has failed as well
                raise
            self._close_first()
        stats, self._stats = self._stats, ExchangeStats()
        return stats

    def _close_first(self) -> None:
        handles, compute_end_ns = self._open.popleft()
        self._stats.add_step([handle.times() for handle in handles], compute_end_ns)
