"""Gradients that are sparse on some ranks only, and optimizers that were told unlike terms."""

import sys

import cloudpickle
import pytest
import torch
from torch import nn

import ringsync.torch as hvd
from ringsync.parallel import in_flight

from .wrapped import loss_of, make, require_alike, shares

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def words(**how):
    net = nn.ModuleList([nn.Embedding(5, 2, sparse=True), nn.Linear(2, 1)])
    return make(lambda p: torch.optim.SGD(p, lr=0.1), net=net, **how)


def forward(net, is_embedded):
    rows = net[0](torch.tensor([hvd.rank(), 3])) if is_embedded else torch.ones(2, 2)
    return net[1](rows).sum()


def embedding_gradient(net):
    # What linear layers make of ones.
    return net[1].weight.detach()[0]


@pytest.mark.parametrize("form", ["none", "fp16"])
@pytest.mark.parametrize("users", [[[0]], [[1]], [[], [0], [0, 1], []], [[0, 1], [1], [0]]])
def test_sparse_gradients_of_some_ranks_count_as_zeros_on_the_others(ranks, form, users):
    def work():
        hvd.init()
        net, opt = words(compression=getattr(hvd.Compression, form))
        for who in users:
            opt.zero_grad()
            row = embedding_gradient(net).clone()
            forward(net, hvd.rank() in who).backward()
            opt.synchronize()
            if who:
                dense = net[0].weight.grad.to_dense()
                expected = torch.zeros(5, 2)
                for rank in who:
                    expected[rank] += row / 2
                    expected[3] += row / 2
                torch.testing.assert_close(dense, expected)
            else:
                assert net[0].weight.grad is None
            with opt.skip_synchronize():
                opt.step()
        require_alike(net)

    ranks(2, work)


def test_gradients_that_have_been_sparse_travel_as_zeros_no_more(ranks):
    def work():
        hvd.init()
        net, opt = words()
        sent = []
        submit = in_flight.start

        def watched(place, collective, array, name, *how):
            sent.append(array.nbytes)
            return submit(place, collective, array, name, *how)

        in_flight.start = watched
        for _ in range(2):
            opt.zero_grad()
            sent.clear()
            forward(net, hvd.rank() == 0).backward()
            opt.step()
        return len(sent), sum(sent)

    line = 64
    assert ranks(2, work) == [(2, 4 * line)] * 2  # weight and bias, each with its presence


@pytest.mark.parametrize("form", ["none", "fp16"])
def test_a_gradient_that_is_sparse_on_one_rank_and_dense_on_another_is_an_error_on_all(ranks, form):
    def work():
        hvd.init()
        net, opt = words(compression=getattr(hvd.Compression, form))
        net[0].sparse = hvd.rank() == 0
        with pytest.raises(
            hvd.HorovodInternalError, match=r"'0\.weight'.*sparse on some ranks.*sparse_as_dense"
        ):
            forward(net, True).backward()
        opt.zero_grad()
        net[0].sparse = False
        forward(net, True).backward()
        opt.step()

    ranks(2, work)


def test_sparse_gradients_by_another_op_are_an_error_on_all_ranks(ranks):
    def work():
        hvd.init()
        net, opt = words(op=hvd.Max)

        def train():
            forward(net, hvd.rank() == 0).backward()
            opt.step()

        for _ in range(2):
            with pytest.raises(
                hvd.HorovodInternalError, match=r"'0\.weight'.*op is Max.*sparse_as_dense=True"
            ):
                train()
            opt.zero_grad()
        forward(net, False).backward()
        opt.step()

    ranks(2, work)


@pytest.mark.parametrize(
    ("word", "of_rank", "told"),
    [
        (
            "compression",
            [hvd.Compression.none, hvd.Compression.fp16],
            "rank 1 has compression=FP16Compressor, rank 0 has compression=NoneCompressor",
        ),
        ("op", [hvd.Average, hvd.Sum], "rank 1 has op=Sum, rank 0 has op=Average"),
        ("op", [hvd.Adasum, hvd.Average], "rank 1 has op=Average, rank 0 has op=Adasum"),
        ("sparse_as_dense", [False, True], "rank 1 has sparse_as_dense=True, rank 0"),
        ("gradient_predivide_factor", [1.0, 2.0], r"rank 1 has gradient_predivide_factor=2\.0"),
    ],
)
def test_optimizers_that_are_told_unlike_are_an_error_on_all_ranks(ranks, word, of_rank, told):
    def step(net, opt):
        loss_of(net, *shares()[0]).backward()
        opt.step()

    def work():
        hvd.init()
        net, opt = make(**{word: of_rank[hvd.rank()]})
        for _ in range(2):
            with pytest.raises(hvd.HorovodInternalError, match=told):
                step(net, opt)
            opt.zero_grad()

    ranks(2, work)
