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


def test_a_network_that_was_converted_before_the_first_step_is_told_as_well(ranks):
    def work():
        hvd.init()
        net, _opt = make(net=nn.Linear(2, 1, bias=False))
        net.bfloat16()
        words = r"'weight': it is torch\.bfloat16 of shape \(1, 2\), and it was torch\.float32"
        with pytest.raises(ValueError, match=words):
            net(torch.ones(1, 2, dtype=torch.bfloat16)).sum().backward()

    ranks(2, work)


@pytest.mark.parametrize("is_wrapped_anew", [False, True])
def test_training_goes_on_after_a_conversion_was_told_while_gradients_travel(
    ranks, is_wrapped_anew
):
    def work():
        hvd.init()
        net, opt = make(net=nn.Sequential(*[nn.Linear(40, 40, bias=False) for _ in range(6)]))
        x = torch.full((1, 40), 1.0 + hvd.rank())

        def step(dtype):
            opt.zero_grad()
            net[1:](net[0](x.to(dtype)).float()).square().sum().backward()
            opt.step()

        step(torch.float32)
        net[0].double()
        with pytest.raises(ValueError, match=r"'0\.weight': its gradient is torch\.float64"):
            step(torch.float64)
        if is_wrapped_anew:
            opt = hvd.DistributedOptimizer(
                torch.optim.SGD(net.parameters(), lr=0.1), net.named_parameters()
            )
        else:
            opt.zero_grad()
            net[0].float()
        for _ in range(2):
            step(net[0].weight.dtype)
        same = hvd.allgather(torch.stack([p.detach().double() for p in net.parameters()])[None])
        assert torch.equal(same[0], same[1])

    ranks(2, work)


def test_a_pass_too_many_is_an_error_whatever_memory_gradients_have(ranks):
    def work():
        hvd.init()
        net, _opt = make(net=nn.Linear(2, 1, bias=False))
        net(torch.ones(1, 2)).sum().backward()
        net.weight.grad.data = net.weight.grad.data * 2
        with pytest.raises(AssertionError, match="backward_passes_per_step"):
            net(torch.ones(1, 2)).sum().backward()

    ranks(2, work)


def test_what_is_replaced_while_it_travels_is_as_all_ranks_have_it_in_the_end(ranks):
    def work():
        hvd.init()
        net, opt = make(net=nn.ModuleList([nn.Linear(2, 1, bias=False) for _ in range(3)]))
        x = torch.full((1, 2), 1.0 + hvd.rank())
        net[2](x).sum().backward()
        net[2].weight.grad.data = net[2].weight.grad.data.clone() * 2
        (net[0](x) + net[1](x)).sum().backward()
        opt.step()
        assert net[2].weight.grad.tolist() == [[1.5, 1.5]]

    ranks(2, work)


def test_a_gradient_whose_dimensions_were_exchanged_is_in_order_again_in_the_next_step(ranks):
    def work():
        hvd.init()
        net, opt = make(net=nn.Linear(2, 2, bias=False))
        x = torch.tensor([[1.0, 2.0]])
        for _ in range(2):
            opt.zero_grad()
            net(x).sum().backward()
            assert net.weight.grad.tolist() == [[1.0, 2.0]] * 2
            net.weight.grad.data = net.weight.grad.data.t()
            opt.step()

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
