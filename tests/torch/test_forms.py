"""Gradients of other strides, or fewer digits, than most have."""

import sys

import cloudpickle
import pytest
import torch
from torch import nn

import ringsync.torch as hvd

from .wrapped import make, require_alike, values_of

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("channels", [3, 64])
def test_gradients_of_channels_last_layers_keep_strides_and_address(ranks, channels, set_to_none):
    def work():
        hvd.init()
        net = nn.Sequential(nn.Conv2d(channels, channels, 3), nn.Conv2d(channels, 8, 3))
        net, opt = make(net=net.to(memory_format=torch.channels_last))
        hvd.broadcast_parameters(net.state_dict(), root_rank=0)
        places = set()
        for step in range(4):
            torch.manual_seed(step)
            x = torch.randn(2, channels, 6, 6).to(memory_format=torch.channels_last)
            whole = torch.autograd.grad(net(x).square().mean(), list(net.parameters()))
            opt.zero_grad(set_to_none=set_to_none)
            net(x[hvd.rank()][None]).square().mean().backward()
            gradients = [p.grad for p in net.parameters()]
            assert [g.stride() for g in gradients] == [p.stride() for p in net.parameters()]
            assert gradients[0].is_contiguous(memory_format=torch.channels_last)
            torch.testing.assert_close(gradients, list(whole))
            places.add(tuple(g.data_ptr() for g in gradients))
            opt.step()
        assert len(places) == 1

    ranks(2, work)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_bfloat16_gradients_keep_their_address_and_are_averages_rounded_once(ranks, set_to_none):
    def work():
        hvd.init()
        torch.manual_seed(7)
        net = nn.Sequential(nn.Conv2d(3, 300, 3), nn.Conv2d(300, 64, 3), nn.Flatten())
        net = net.bfloat16().to(memory_format=torch.channels_last)
        net, opt = make(net=nn.ModuleList([net, nn.Linear(64, 2)]))
        hvd.broadcast_parameters(net.state_dict(), root_rank=0)
        places = set()
        for step in range(4):
            torch.manual_seed(step)
            x = torch.randn(2, 3, 5, 5).bfloat16()
            losses = [net[1](net[0](one[None]).float()).square().mean() for one in x]
            parameters = list(net.parameters())
            alone = [torch.autograd.grad(one, parameters, retain_graph=True) for one in losses]
            opt.zero_grad(set_to_none=set_to_none)
            losses[hvd.rank()].backward()
            for parameter, *both in zip(parameters, *alone, strict=True):
                average = sum(one.double() for one in both) / 2
                assert torch.equal(parameter.grad, average.to(parameter.dtype))
                assert parameter.grad.stride() == parameter.stride()
            places.add(tuple(p.grad.data_ptr() for p in parameters))
            opt.step()
        assert len(places) == 1

    ranks(2, work)


def test_grad_scaler_sees_everybodys_gradients_of_a_half_precision_model(ranks):
    def work():
        hvd.init()
        net, opt = make(net=nn.Linear(4, 3).bfloat16())
        hvd.broadcast_parameters(net.state_dict(), root_rank=0)
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1)
        scales = []
        for step in range(3):
            opt.zero_grad()
            loss = net(torch.ones(2, 4, dtype=torch.bfloat16)).float().square().mean()
            if step == 1 and hvd.rank() == 0:
                loss = loss * float("inf")  # both ranks skip the step
            scaler.scale(loss).backward()
            before = values_of(net)
            scaler.step(opt)
            assert torch.equal(values_of(net), before) == (step == 1)
            scaler.update()
            scales.append(scaler.get_scale())
        assert scales == [8.0, 4.0, 8.0]
        require_alike(net)

    ranks(2, work)


def test_what_grad_scaler_refuses_of_float16_parameters_it_refuses_here_too(ranks):
    def work():
        hvd.init()
        net, opt = make(net=nn.Linear(4, 3).half())
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        scaler.scale(net(torch.ones(2, 4).half()).float().sum()).backward()
        with pytest.raises(ValueError, match="unscale FP16 gradients"):
            scaler.step(opt)
        opt.step()  # by itself, of gradients that are multiplied still
        assert (net.bias.grad == 8.0).all()

    ranks(2, work)
