"""Gradients and parameters whose memory a script replaces, and parameters of no dimension."""

import sys

import cloudpickle
import pytest
import torch
from torch import nn

import ringsync.torch as hvd

from .wrapped import make

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def _set_data(net):
    net.weight.grad.data = net.weight.grad.data * 2


def _set_memory(net):
    net.weight.grad.set_(net.weight.grad * 2)


def _share(net):
    net.share_memory()
    net.weight.grad *= 2


@pytest.mark.parametrize("replace", [_set_data, _set_memory, _share])
def test_gradients_are_exchanged_from_the_memory_that_they_have_by_now(ranks, replace):
    def work():
        hvd.init()
        net, opt = make(net=nn.Linear(2, 1, bias=False))
        for step in range(3):
            net.zero_grad(set_to_none=False)
            net(torch.full((1, 2), 1.0 + step + hvd.rank())).sum().backward()
            assert net.weight.grad.tolist() == [[1.5 + step] * 2]
            replace(net)
            opt.step()
            assert net.weight.grad.tolist() == [[2 * (1.5 + step)] * 2]

    ranks(2, work)


def test_memory_that_was_replaced_between_two_passes_is_that_which_travels(ranks):
    def work():
        hvd.init()
        net, opt = make(net=nn.Linear(2, 1, bias=False), backward_passes_per_step=2)
        for step in range(3):
            opt.zero_grad()
            net(torch.full((1, 2), 1.0 + step + hvd.rank())).sum().backward()
            net.weight.grad.data = net.weight.grad.data * 2
            net(torch.ones(1, 2)).sum().backward()
            assert net.weight.grad.tolist() == [[2 * (1.5 + step) + 1] * 2]
            opt.step()

    ranks(2, work)


def test_a_network_that_was_converted_after_the_wrapping_is_told_by_the_parameter_s_name(ranks):
    def work():
        hvd.init()
        net, opt = make(net=nn.Linear(2, 1, bias=False))
        net(torch.ones(1, 2)).sum().backward()
        opt.step()
        opt.zero_grad()
        net.double()
        words = (
            r"'weight': its gradient is torch\.float64 of shape \(1, 2\), and it was torch\.float"
        )
        with pytest.raises(ValueError, match=words):
            net(torch.ones(1, 2, dtype=torch.float64)).sum().backward()

    ranks(2, work)


@pytest.mark.parametrize("how", [{}, {"compression": hvd.Compression.fp16}, {"op": hvd.Max}])
def test_parameters_of_no_dimension_train(ranks, how):
    def work():
        hvd.init()
        scale = nn.Parameter(torch.tensor(2.0))
        plain = torch.optim.SGD([scale], lr=0.5)
        opt = hvd.DistributedOptimizer(plain, named_parameters=[("scale", scale)], **how)
        hvd.broadcast_parameters([("scale", scale)], root_rank=0)
        (scale * (1.0 + 2 * hvd.rank())).backward()
        opt.step()
        return scale.item()

    expected = 2 - 0.5 * (3 if "op" in how else 2)
    assert ranks(2, work) == [expected] * 2
