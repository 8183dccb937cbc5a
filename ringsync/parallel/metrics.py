"""Metrics over all ranks."""

from __future__ import annotations

from ringsync.collectives import ReduceOp, allreduce
from ringsync.errors import ConfigError
from ringsync.group import ProcessGroup
from ringsync.nn import Metric
from ringsync.words import kind_of


def reduce_metric(metric: Metric, *, group: ProcessGroup | None = None) -> float:
    """Compute a metric over what all ranks have added to theirs.

    Args:
        metric: This rank's; it is not changed.
        group: As for `allreduce`.

    Returns:
        The common value, weighted by counts: not the mean of the ranks' values.

    Raises:
        ConfigError: `metric` is none.
        PeerLostError: A rank died.
        TimedOutError: A rank did not take part in time.
    """
    has_totals = all(callable(getattr(metric, word, None)) for word in ("totals", "value_of"))
    if not has_totals or isinstance(metric, type):
        raise ConfigError(
            f"[reduce_metric] {kind_of(metric)} is no metric; one with totals() and "
            "value_of() is expected. Pass nn.Accuracy() or nn.MeanLoss(), or allreduce() a number."
        )
    return metric.value_of(allreduce(metric.totals(), op=ReduceOp.Sum, group=group))
