"""What the exchange of gradients cost: communication, how much of it was hidden, and waiting.

Figures come from interval unions, never from sums of durations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ringsync.handle import Times

_NS_PER_MS = 1e6


@dataclass(slots=True)
class ExchangeStats:
    """Sums over the steps since the last `take_stats`.

    Attributes:
        steps: Exchanges completed.
        communication_ms: Time in which this rank's engine moved or summed gradients.
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
            times: Stages of each bucket; one runs at a time, so they never overlap.
            compute_end_ns: When backward had computed its last gradient.
        """
        self.steps += 1
        for bucket in times:
            self.communication_ms += (bucket.done_ns - bucket.agreed_ns) / _NS_PER_MS
            self.waiting_ms += (bucket.agreed_ns - bucket.started_ns) / _NS_PER_MS
            hidden_ns = min(bucket.done_ns, compute_end_ns) - min(bucket.agreed_ns, compute_end_ns)
            self.hidden_ms += hidden_ns / _NS_PER_MS
