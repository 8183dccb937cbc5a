"""Metrics over all ranks."""

from __future__ import annotations

from ringsync.collectives import ReduceOp, allreduce
from ringsync.group import ProcessGroup
from ringsync.nn import Metric


def reduce_metric(metric: Metric, *, group: ProcessGroup | None = None) -> float:
    """Compute a metric over what all ranks have added to theirs.

    Args:
        metric: This rank's; it is not changed.
        group: As for `allreduce`.

    Returns:
        The common value, weighted by counts: not the mean of the ranks' values.

    Raises:
        PeerLostError: A rank died.
        TimedOutError: A rank did not take part in time.
    """
    return metric.value_of(allreduce(metric.totals(), op=ReduceOp.Sum, group=group))
