"""Every public name takes Horovod's arguments, in Horovod's order and with Horovod's defaults."""

import inspect

import pytest

import ringsync.torch as hvd

_REDUCED = "prescale_factor=1.0, postscale_factor=1.0, process_set=all"
_SCATTERED = "op=Average, process_set=all, prescale_factor=1.0, postscale_factor=1.0"
# Horovod's own, in horovod/torch and horovod/common; what ringsync adds stands after a "+".
SIGNATURES = {
    "init": "comm=None, process_sets=None",
    "shutdown": "",
    "is_initialized": "",
    "start_timeline": "file_path, mark_cycles=False",
    "stop_timeline": "",
    "rank": "",
    "size": "",
    "local_rank": "",
    "local_size": "",
    "cross_rank": "",
    "cross_size": "",
    "is_homogeneous": "",
    "mpi_threads_supported": "",
    "mpi_enabled": "",
    "mpi_built": "",
    "gloo_enabled": "",
    "gloo_built": "",
    "nccl_built": "",
    "ddl_built": "",
    "ccl_built": "",
    "cuda_built": "",
    "rocm_built": "",
    "allreduce": f"tensor, average=None, name=None, compression=none, op=None, {_REDUCED}",
    "allreduce_": f"tensor, average=None, name=None, op=None, {_REDUCED}",
    "allreduce_async": f"tensor, average=None, name=None, op=None, {_REDUCED}",
    "allreduce_async_": f"tensor, average=None, name=None, op=None, {_REDUCED}",
    "grouped_allreduce": f"tensors, average=None, name=None, compression=none, op=None, {_REDUCED}",
    "grouped_allreduce_": f"tensors, average=None, name=None, op=None, {_REDUCED}",
    "grouped_allreduce_async": f"tensors, average=None, name=None, op=None, {_REDUCED}",
    "grouped_allreduce_async_": f"tensors, average=None, name=None, op=None, {_REDUCED}",
    "sparse_allreduce_async": "tensor, name, op, process_set=all",
    "allgather": "tensor, name=None, process_set=all",
    "allgather_async": "tensor, name=None, process_set=all",
    "grouped_allgather": "tensors, name=None, process_set=all",
    "grouped_allgather_async": "tensors, name=None, process_set=all",
    "broadcast": "tensor, root_rank, name=None, process_set=all",
    "broadcast_": "tensor, root_rank, name=None, process_set=all",
    "broadcast_async": "tensor, root_rank, name=None, process_set=all",
    "broadcast_async_": "tensor, root_rank, name=None, process_set=all",
    "alltoall": "tensor, splits=None, name=None, process_set=all",
    "alltoall_async": "tensor, splits=None, name=None, process_set=all",
    "reducescatter": f"tensor, name=None, compression=none, {_SCATTERED}",
    "reducescatter_async": f"tensor, name=None, {_SCATTERED}",
    "grouped_reducescatter": f"tensors, name=None, compression=none, {_SCATTERED}",
    "grouped_reducescatter_async": f"tensors, name=None, {_SCATTERED}",
    "join": "device=-1",
    "barrier": "process_set=all",
    "poll": "handle",
    "synchronize": "handle",
    "ProcessSet": "ranks_or_comm",
    "add_process_set": "process_set",
    "remove_process_set": "process_set",
    "broadcast_parameters": "params, root_rank",
    "broadcast_optimizer_state": "optimizer, root_rank, model=None",
    "broadcast_object": "obj, root_rank=0, name=None, process_set=all",
    "allgather_object": "obj, name=None + process_set=all",
    "DistributedOptimizer": "optimizer, named_parameters=None, compression=none, "
    "backward_passes_per_step=1, op=Average, gradient_predivide_factor=1.0, num_groups=0, "
    "groups=None, sparse_as_dense=False, process_set=all",
    "SyncBatchNorm": "num_features, eps=1e-05, momentum=0.1, affine=True, "
    "track_running_stats=True + process_set=None",
    "elastic.run": "func",
    "elastic.TorchState": "model=None, optimizer=None, **kwargs",
    "elastic.ElasticSampler": "dataset, shuffle=True, seed=0",
    "elastic.ObjectState": "bcast_object, get_rank, **kwargs",
}
_NAMED = {hvd.global_process_set: "all", hvd.Compression.none: "none", hvd.Average: "Average"}
_WITHOUT = {"Adasum", "Average", "Max", "Min", "Product", "Sum", "Compression", "elastic"} | {
    "HorovodInternalError", "global_process_set"
}  # fmt: skip


def _told(parameter):
    if parameter.default is inspect.Parameter.empty:
        return str(parameter.replace(annotation=inspect.Parameter.empty))
    default = parameter.default
    is_named = isinstance(default, type | hvd.ProcessSet | type(hvd.Average))
    return f"{parameter.name}={_NAMED[default] if is_named else repr(default)}"


def test_the_table_has_every_public_name_that_can_be_called():
    of_the_door = {name for name in SIGNATURES if "." not in name}
    assert of_the_door == set(hvd.__all__) - _WITHOUT


@pytest.mark.parametrize("name", SIGNATURES)
def test_it_takes_horovods_arguments_in_horovods_order_with_horovods_defaults(name):
    place, _, last = name.rpartition(".")
    function = getattr(getattr(hvd, place) if place else hvd, last)
    parameters = [*inspect.signature(function).parameters.values()]
    theirs, _, added = SIGNATURES[name].partition(" + ")
    told = ", ".join(_told(one) for one in parameters)
    assert told == ", ".join(filter(None, (theirs, added)))
    assert not [one.name for one in parameters if one.kind is one.POSITIONAL_ONLY]
    named = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
    assert all(f"{name}=" in added for name in named)
