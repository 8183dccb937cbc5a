"""ringsync: synchronous data-parallel training for Python that people can live with.

Wrap the optimizer, start the script with `ringsyncrun -np 4`, and it trains on all ranks.
"""

from typing import NoReturn as _NoReturn

from ringsync import data, errors, models, nn, optim
from ringsync.autograd import no_grad
from ringsync.collectives import (
    Adasum,
    Average,
    Max,
    Min,
    Product,
    ReduceOp,
    Sum,
    allgather,
    allgather_async,
    allreduce,
    allreduce_,
    allreduce_async,
    allreduce_async_,
    alltoall,
    alltoall_async,
    barrier,
    barrier_async,
    broadcast,
    broadcast_,
    broadcast_async,
    broadcast_async_,
    grouped_allreduce,
    grouped_allreduce_,
    grouped_allreduce_async,
    grouped_allreduce_async_,
    join,
    recv,
    recv_async,
    reduce_scatter,
    reduce_scatter_async,
    send,
    send_async,
)
from ringsync.group import ProcessGroup, adopt_nccl, new_group
from ringsync.handle import GroupedHandle, Handle
from ringsync.jobs import run
from ringsync.memory import empty
from ringsync.objects import allgather_object, broadcast_object
from ringsync.parallel import (
    DistributedOptimizer,
    Ring,
    broadcast_optimizer_state,
    broadcast_parameters,
    reduce_metric,
)
from ringsync.position import local_rank, local_size, node_rank, num_nodes, rank, size
from ringsync.runtime import init, is_initialized, shutdown
from ringsync.timeline import start_timeline, stop_timeline
from ringsync.version import __version__

__all__ = [
    "Adasum",
    "Average",
    "DistributedOptimizer",
    "GroupedHandle",
    "Handle",
    "Max",
    "Min",
    "ProcessGroup",
    "Product",
    "ReduceOp",
    "Ring",
    "Sum",
    "__version__",
    "adopt_nccl",
    "allgather",
    "allgather_async",
    "allgather_object",
    "allreduce",
    "allreduce_",
    "allreduce_async",
    "allreduce_async_",
    "alltoall",
    "alltoall_async",
    "barrier",
    "barrier_async",
    "broadcast",
    "broadcast_",
    "broadcast_async",
    "broadcast_async_",
    "broadcast_object",
    "broadcast_optimizer_state",
    "broadcast_parameters",
    "data",
    "empty",
    "errors",
    "grouped_allreduce",
    "grouped_allreduce_",
    "grouped_allreduce_async",
    "grouped_allreduce_async_",
    "init",
    "is_initialized",
    "join",
    "local_rank",
    "local_size",
    "models",
    "new_group",
    "nn",
    "no_grad",
    "node_rank",
    "num_nodes",
    "optim",
    "rank",
    "recv",
    "recv_async",
    "reduce_metric",
    "reduce_scatter",
    "reduce_scatter_async",
    "run",
    "send",
    "send_async",
    "shutdown",
    "size",
    "start_timeline",
    "stop_timeline",
]

# Names of the plan (docs/architecture.md) that scripts may ask for already.
_PLANNED = frozenset(
    {
        "LocalSGD",
        "ParameterServer",
        "Stale",
        "elastic",
        "graph",
    }
)


def __getattr__(name: str) -> _NoReturn:
    """Say of a planned name that it is not built yet."""
    if name in _PLANNED:
        raise AttributeError(
            f"[ringsync] '{name}' is planned but not built yet. docs/architecture.md says what is."
        )
    raise AttributeError(f"module 'ringsync' has no attribute {name!r}")
