"""Every name of horovod.torch, for PyTorch scripts: `import ringsync.torch as hvd`.

Signatures, defaults and kinds of errors are Horovod's; docs/from-horovod.md lists what differs.
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401  asked for first, so that what is missing is said
except ImportError as error:
    raise ImportError(
        "[torch] ringsync.torch needs PyTorch, which is not installed for this Python. Run "
        "'pip install torch', or use ringsync itself with NumPy arrays."
    ) from error

from ringsync.collectives import Adasum, Average, Max, Min, Product, Sum
from ringsync.torch import elastic
from ringsync.torch.basics import (
    cross_rank,
    cross_size,
    init,
    is_homogeneous,
    is_initialized,
    local_rank,
    local_size,
    rank,
    shutdown,
    size,
    start_timeline,
    stop_timeline,
)
from ringsync.torch.broadcasting import broadcast, broadcast_, broadcast_async, broadcast_async_
from ringsync.torch.built import (
    ccl_built,
    cuda_built,
    ddl_built,
    gloo_built,
    gloo_enabled,
    mpi_built,
    mpi_enabled,
    mpi_threads_supported,
    nccl_built,
    rocm_built,
)
from ringsync.torch.compiling import keep_out_of_graphs
from ringsync.torch.compression import Compression
from ringsync.torch.errors import HorovodInternalError
from ringsync.torch.exchanging import alltoall, alltoall_async
from ringsync.torch.functions import (
    allgather_object,
    broadcast_object,
    broadcast_optimizer_state,
    broadcast_parameters,
)
from ringsync.torch.gathering import (
    allgather,
    allgather_async,
    grouped_allgather,
    grouped_allgather_async,
    sparse_allreduce_async,
)
from ringsync.torch.grouping import (
    grouped_allreduce,
    grouped_allreduce_,
    grouped_allreduce_async,
    grouped_allreduce_async_,
)
from ringsync.torch.handles import poll, synchronize
from ringsync.torch.optimizer import DistributedOptimizer
from ringsync.torch.process_sets import (
    ProcessSet,
    add_process_set,
    global_process_set,
    remove_process_set,
)
from ringsync.torch.reducing import allreduce, allreduce_, allreduce_async, allreduce_async_
from ringsync.torch.scattering import (
    grouped_reducescatter,
    grouped_reducescatter_async,
    reducescatter,
    reducescatter_async,
)
from ringsync.torch.sync_batch_norm import SyncBatchNorm
from ringsync.torch.waiting import barrier, join

keep_out_of_graphs(
    add_process_set, allgather, allgather_async, allgather_object, allreduce, allreduce_,
    allreduce_async, allreduce_async_, alltoall, alltoall_async, barrier, broadcast, broadcast_,
    broadcast_async, broadcast_async_, broadcast_object, broadcast_optimizer_state,
    broadcast_parameters, grouped_allgather, grouped_allgather_async, grouped_allreduce,
    grouped_allreduce_, grouped_allreduce_async, grouped_allreduce_async_, grouped_reducescatter,
    grouped_reducescatter_async, join, poll, reducescatter, reducescatter_async,
    remove_process_set, sparse_allreduce_async, synchronize,
)  # fmt: skip

__all__ = [
    "Adasum",
    "Average",
    "Compression",
    "DistributedOptimizer",
    "HorovodInternalError",
    "Max",
    "Min",
    "ProcessSet",
    "Product",
    "Sum",
    "SyncBatchNorm",
    "add_process_set",
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
    "broadcast",
    "broadcast_",
    "broadcast_async",
    "broadcast_async_",
    "broadcast_object",
    "broadcast_optimizer_state",
    "broadcast_parameters",
    "ccl_built",
    "cross_rank",
    "cross_size",
    "cuda_built",
    "ddl_built",
    "elastic",
    "global_process_set",
    "gloo_built",
    "gloo_enabled",
    "grouped_allgather",
    "grouped_allgather_async",
    "grouped_allreduce",
    "grouped_allreduce_",
    "grouped_allreduce_async",
    "grouped_allreduce_async_",
    "grouped_reducescatter",
    "grouped_reducescatter_async",
    "init",
    "is_homogeneous",
    "is_initialized",
    "join",
    "local_rank",
    "local_size",
    "mpi_built",
    "mpi_enabled",
    "mpi_threads_supported",
    "nccl_built",
    "poll",
    "rank",
    "reducescatter",
    "reducescatter_async",
    "remove_process_set",
    "rocm_built",
    "shutdown",
    "size",
    "sparse_allreduce_async",
    "start_timeline",
    "stop_timeline",
    "synchronize",
]
