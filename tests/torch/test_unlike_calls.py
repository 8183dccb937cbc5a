"""What ranks disagree on within a call is one error on all, whatever the call is made of."""

import sys

import cloudpickle
import pytest
import torch

import ringsync.torch as hvd

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

A = torch.ones(2, 3)


def sparse_sum(tensor):
    return hvd.sparse_allreduce_async(tensor, "s", hvd.Sum)()


UNLIKE = {
    "adasum of other shapes": (
        lambda: hvd.allreduce(A, op=hvd.Adasum),
        lambda: hvd.allreduce(A.reshape(3, 2), op=hvd.Adasum),
        r"rank 1 sent shape \(1, 3, 2\), rank 0 \(1, 2, 3\)",
    ),
    "adasum of tensors that end elsewhere": (
        lambda: hvd.grouped_allreduce([A[0], A[0, :1]], op=hvd.Adasum),
        lambda: hvd.grouped_allreduce([A[0, :1], A[0]], op=hvd.Adasum),
        r"rank 1 sent shape \(1, 1\), rank 0 \(1, 3\)",
    ),
    "adasum of more tensors": (
        lambda: hvd.grouped_allreduce([A], op=hvd.Adasum),
        lambda: hvd.grouped_allreduce([A[:1], A[1:]], op=hvd.Adasum),
        "rank 1 submitted array 0 of a group of 2, rank 0 an array by itself",
    ),
    "adasum of other dtypes": (
        lambda: hvd.grouped_allreduce([A, A.double()], op=hvd.Adasum),
        lambda: hvd.grouped_allreduce([A.double(), A], op=hvd.Adasum),
        "rank 1 sent float64, rank 0 float32",
    ),
    "adasum and what it is made of": (
        lambda: hvd.allreduce(A, op=hvd.Adasum),
        lambda: hvd.allgather(A[None]),
        "rank 1 asked for Sum, rank 0 Adasum",
    ),
    "gathering a group of fewer": (
        lambda: hvd.grouped_allgather([A]),
        lambda: hvd.grouped_allgather([A, A]),
        "rank 1 submitted array 0 of a group of 2, rank 0 an array by itself",
    ),
    "scattering a group of fewer": (
        lambda: hvd.grouped_reducescatter([A]),
        lambda: hvd.grouped_reducescatter([A, A]),
        "rank 1 submitted array 0 of a group of 2, rank 0 an array by itself",
    ),
    "scattering rows that cannot be cut evenly": (
        lambda: hvd.reducescatter(torch.ones(5)),
        lambda: hvd.allreduce(torch.ones(5)),
        "rank 1 submitted allreduce, rank 0 reduce_scatter",
    ),
    "scattering other rows": (
        lambda: hvd.reducescatter(torch.ones(4)),
        lambda: hvd.reducescatter(torch.ones(5)),
        r"rank 1 sent shape \(5,\), rank 0 \(4,\)",
    ),
    "sparse tensors of other sizes": (
        lambda: sparse_sum(torch.eye(2).to_sparse()),
        lambda: sparse_sum(torch.sparse_coo_tensor([[9], [0]], [1.0], (10**8, 2))),
        r"\[sparse_allreduce\] 's': rank 1 sent shape \(100000000, 2\), rank 0 \(2, 2\)",
    ),
    "sparse tensors of other dimensions": (
        lambda: sparse_sum(torch.eye(2).to_sparse()),
        lambda: sparse_sum(torch.ones(2).to_sparse()),
        r"\[sparse_allreduce\] .*rank 1 sent shape",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNLIKE)
def test_what_differs_within_a_call_is_told_and_nothing_comes_out(ranks, case):
    def work():
        hvd.init()
        *calls, words = UNLIKE[case]
        with pytest.raises(hvd.HorovodInternalError, match=words):
            calls[hvd.rank()]()
        # What follows meets its like.
        assert hvd.allgather(torch.full((1,), 1.0 + hvd.rank())).tolist() == [1, 2]

    ranks(2, work)


def test_a_call_of_several_arrays_takes_no_name_of_another(ranks):
    def work():
        hvd.init()
        rows = torch.ones(2, 2)
        calls = [hvd.alltoall_async(rows, name=name) for name in ("x", "x.splits")]
        grouped = [hvd.grouped_allreduce_async([rows, rows], name=name) for name in ("y", "y.0")]
        for handle in calls:
            assert hvd.synchronize(handle)[1].tolist() == [1, 1]
        for handle in grouped:
            assert all(torch.equal(x, rows) for x in hvd.synchronize(handle))

    ranks(2, work)
