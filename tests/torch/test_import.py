"""ringsync needs no torch, and says so in one sentence where somebody needs it."""

import subprocess
import sys

WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; "


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_without_torch_the_adapter_is_one_clear_import_error():
    done = python(WITHOUT_TORCH + "import ringsync.torch")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(
        "ImportError: [torch] ringsync.torch needs PyTorch, which is not installed"
    )


def test_an_ml_dtypes_that_cannot_be_imported_is_as_good_as_none():
    done = python("import sys; sys.modules['ml_dtypes'] = None; import ringsync.torch; print('ok')")
    assert done.stdout == "ok\n", done.stderr


def test_ringsync_itself_imports_no_torch():
    done = python(WITHOUT_TORCH + "import ringsync as rs; rs.init(); print(rs.size())")
    assert done.stdout == "1\n", done.stderr


def test_every_name_of_horovods_door_is_there():
    names = """
        Adasum Average Compression DistributedOptimizer HorovodInternalError Max Min ProcessSet
        Product Sum SyncBatchNorm add_process_set allgather allgather_async allgather_object
        allreduce allreduce_ allreduce_async allreduce_async_ alltoall alltoall_async barrier
        broadcast broadcast_ broadcast_async broadcast_async_ broadcast_object
        broadcast_optimizer_state broadcast_parameters ccl_built cross_rank cross_size cuda_built
        ddl_built elastic global_process_set gloo_built gloo_enabled grouped_allgather
        grouped_allgather_async grouped_allreduce grouped_allreduce_ grouped_allreduce_async
        grouped_allreduce_async_ grouped_reducescatter grouped_reducescatter_async init
        is_initialized join local_rank local_size mpi_built mpi_enabled mpi_threads_supported
        nccl_built poll rank reducescatter reducescatter_async remove_process_set rocm_built
        shutdown size sparse_allreduce_async start_timeline stop_timeline synchronize
    """.split()  # noqa: SIM905  a list would be sixty lines
    done = python("import ringsync.torch as hvd; print(*hvd.__all__)")
    assert set(names) <= set(done.stdout.split()), done.stderr
