"""Collectives in functions that torch.compile compiles."""

import inspect
import sys

import cloudpickle
import pytest
import torch

import ringsync.torch as hvd

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


# What asks nothing of other ranks, or makes and ends the world in which they are asked.
OF_THIS_PROCESS = """
    DistributedOptimizer ccl_built cross_rank cross_size cuda_built ddl_built gloo_built
    gloo_enabled init is_homogeneous is_initialized local_rank local_size mpi_built mpi_enabled
    mpi_threads_supported nccl_built rank rocm_built shutdown size start_timeline stop_timeline
""".split()  # noqa: SIM905  a list would be 25 lines


def test_every_function_that_talks_to_other_ranks_is_kept_out_of_graphs():
    functions = {name for name in hvd.__all__ if inspect.isfunction(getattr(hvd, name))}
    kept = {name for name in functions if hasattr(getattr(hvd, name), "_torchdynamo_disable")}
    assert functions - kept == set(OF_THIS_PROCESS)


@pytest.mark.parametrize("is_wanted", [False, True])
def test_a_collective_breaks_the_graph_once_and_works(ranks, is_wanted):
    def work():
        hvd.init()
        graphs = []

        def backend(graph, _inputs):
            graphs.append(graph)
            return graph.forward

        def compute(x):
            return hvd.allreduce(x * 2, op=hvd.Sum) + 1

        compiled = torch.compile(compute, backend=backend)
        for value in (1.0, 2.0):
            x = torch.full((3,), value, requires_grad=is_wanted)
            y = compiled(x)
            assert y.tolist() == [4 * value + 1] * 3
            if is_wanted:
                y.sum().backward()
                assert x.grad.tolist() == [4.0] * 3
        assert len(graphs) == 2  # before and after

        def others(x):
            handle = hvd.allreduce_async_(x, op=hvd.Sum, name="x")
            rows = hvd.allgather(hvd.reducescatter(x + 0, op=hvd.Sum))
            return hvd.broadcast(hvd.synchronize(handle), 0) + rows

        compiled = torch.compile(others, backend="eager")
        assert compiled(torch.zeros(2)).tolist() == others(torch.zeros(2)).tolist()

    ranks(2, work)
