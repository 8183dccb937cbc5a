"""Where learning and communication meet: gradients exchanged, starts made equal."""

from ringsync.parallel.broadcast import broadcast_optimizer_state, broadcast_parameters
from ringsync.parallel.metrics import reduce_metric
from ringsync.parallel.optimizer import DistributedOptimizer, Ring
from ringsync.parallel.reducer import GradientReducer
from ringsync.parallel.source import GradientSource
from ringsync.parallel.space import HOST, Space
from ringsync.parallel.stats import ExchangeStats
from ringsync.parallel.updates import UpdateCount

__all__ = [
    "HOST",
    "DistributedOptimizer",
    "ExchangeStats",
    "GradientReducer",
    "GradientSource",
    "Ring",
    "Space",
    "UpdateCount",
    "broadcast_optimizer_state",
    "broadcast_parameters",
    "reduce_metric",
]
