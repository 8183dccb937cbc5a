"""Sparse gradients that are made dense to travel, whenever and on whichever rank they come."""

import sys

import cloudpickle
import pytest
import torch
from torch import nn

import ringsync.torch as hvd

from .wrapped import make

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

HOWS = [{}, {"compression": hvd.Compression.fp16}, {"op": hvd.Sum}, {"op": hvd.Max}]


def embedding(kind=lambda p: torch.optim.SGD(p, lr=0.0), **how):
    return make(kind, net=nn.Embedding(5, 2, sparse=True), sparse_as_dense=True, **how)


def expected(users, op):
    """Rank r among `users` has row r and row 3, each once."""
    rows = torch.zeros(2, 5, 2)
    for rank in users:
        rows[rank, [rank, 3]] = 1
    together = {hvd.Average: rows.mean(0), hvd.Sum: rows.sum(0), hvd.Max: rows.amax(0)}
    return together[op]


@pytest.mark.parametrize("how", HOWS, ids=str)
def test_a_pass_too_few_is_made_dense_as_well(ranks, how):
    def work():
        hvd.init()
        net, opt = embedding(backward_passes_per_step=2, **how)
        for passes in (2, 1, 1):
            opt.zero_grad()
            for _ in range(passes):
                net(torch.tensor([hvd.rank(), 3])).sum().backward()
            opt.synchronize()
            dense = net.weight.grad.to_dense()
            torch.testing.assert_close(dense, passes * expected([0, 1], how.get("op", hvd.Average)))
            with opt.skip_synchronize():
                opt.step()

    ranks(2, work)


@pytest.mark.parametrize("how", HOWS, ids=str)
def test_gradients_are_sparse_again_on_all_ranks_or_on_none(ranks, how):
    def work():
        hvd.init()
        net, opt = embedding(**how)
        for users, is_sparse in (
            ([0], True), ([0, 1], True), ([], False), ([1], True), ([0, 1], False), ([1], False)
        ):  # fmt: skip
            opt.zero_grad()
            net.sparse = is_sparse
            if hvd.rank() in users:
                net(torch.tensor([hvd.rank(), 3])).sum().backward()
            opt.step()
            if not users:
                assert net.weight.grad is None
                continue
            assert net.weight.grad.is_sparse == is_sparse
            dense = net.weight.grad.to_dense()
            torch.testing.assert_close(dense, expected(users, how.get("op", hvd.Average)))

    ranks(2, work)


@pytest.mark.parametrize("how", HOWS[:2], ids=str)
def test_an_optimizer_of_sparse_gradients_steps_on_ranks_that_had_none(ranks, how):
    def work():
        hvd.init()
        net, opt = embedding(lambda p: torch.optim.SparseAdam(list(p), lr=0.1), **how)
        for step in range(3):
            opt.zero_grad()
            if hvd.rank() == step % 2:
                net(torch.tensor([hvd.rank(), 3])).sum().backward()
            opt.step()
        same = hvd.allgather(net.weight.detach()[None])
        assert torch.equal(same[0], same[1])

    ranks(2, work)


@pytest.mark.parametrize("how", HOWS, ids=str)
def test_a_pass_too_many_is_an_error_and_a_dropped_gradient_a_new_step(ranks, how):
    def work():
        hvd.init()
        net, opt = embedding(**how)
        for _ in range(2):
            net(torch.tensor([hvd.rank(), 3])).sum().backward()
            with pytest.raises(AssertionError, match="more than backward_passes_per_step times"):
                net(torch.tensor([hvd.rank(), 3])).sum().backward()
            net.weight.grad = None
            net(torch.tensor([hvd.rank(), 3])).sum().backward()
            dense = net.weight.grad.to_dense()
            torch.testing.assert_close(dense, expected([0, 1], how.get("op", hvd.Average)))
            opt.step()
            opt.zero_grad()

    ranks(2, work)
