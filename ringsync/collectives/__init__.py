"""Collectives on arrays: blocking, in place, asynchronous. They know nothing of gradients.

Every function checks its arguments, so that a mistake of one rank is one sentence before anything
is sent.
"""

from ringsync.collectives.barriers import barrier, barrier_async
from ringsync.collectives.broadcasting import (
    broadcast,
    broadcast_,
    broadcast_async,
    broadcast_async_,
)
from ringsync.collectives.gathering import allgather, allgather_async
from ringsync.collectives.grouping import (
    grouped_allreduce,
    grouped_allreduce_,
    grouped_allreduce_async,
    grouped_allreduce_async_,
)
from ringsync.collectives.joining import join
from ringsync.collectives.reduce_op import Adasum, Average, Max, Min, Product, ReduceOp, Sum
from ringsync.collectives.reducing import (
    allreduce,
    allreduce_,
    allreduce_async,
    allreduce_async_,
)
from ringsync.collectives.scattering import (
    alltoall,
    alltoall_async,
    reduce_scatter,
    reduce_scatter_async,
)
from ringsync.collectives.sending import recv, recv_async, send, send_async

__all__ = [
    "Adasum",
    "Average",
    "Max",
    "Min",
    "Product",
    "ReduceOp",
    "Sum",
    "allgather",
    "allgather_async",
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
    "grouped_allreduce",
    "grouped_allreduce_",
    "grouped_allreduce_async",
    "grouped_allreduce_async_",
    "join",
    "recv",
    "recv_async",
    "reduce_scatter",
    "reduce_scatter_async",
    "send",
    "send_async",
]
