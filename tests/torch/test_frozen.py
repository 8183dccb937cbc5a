"""Parameters that are frozen when their optimizer is wrapped, and not any more later."""

import sys

import cloudpickle
import pytest
import torch
from torch import nn

import ringsync.torch as hvd

from .wrapped import loss_of, make, require_alike, shares, values_of

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def test_parameters_frozen_at_first_are_exchanged_once_they_are_not(ranks):
    def work():
        hvd.init()
        for op in (hvd.Average, hvd.Sum):
            for has_told_the_optimizer in (True, False):
                net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))
                net[0].requires_grad_(False)
                net, opt = make(net=net, op=op)
                loss_of(net, *shares()[0]).backward()
                opt.step()
                net.requires_grad_(True)
                for _ in range(2):
                    (opt if has_told_the_optimizer else net).zero_grad()
                    (x, y), _ = shares()
                    own = torch.autograd.grad(loss_of(net, x, y), list(net.parameters()))
                    expected = [hvd.allreduce(g, op=op) for g in own]
                    loss_of(net, x, y).backward()
                    opt.synchronize()
                    opt.synchronize()
                    with opt.skip_synchronize():
                        opt.step()
                    torch.testing.assert_close([p.grad for p in net.parameters()], expected)

    ranks(2, work)


def test_a_pass_too_many_that_reaches_what_was_frozen_first_spoils_the_step(ranks):
    def work():
        hvd.init()
        net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))
        net[1].requires_grad_(False)
        net, opt = make(net=net)
        net.requires_grad_(True)
        (x, y), whole = shares()
        before = values_of(net)
        loss_of(net, x, y).backward()
        with pytest.raises(AssertionError, match="backward_passes_per_step"):
            loss_of(net, x, y).backward()
        with pytest.raises(AssertionError, match="backward_passes_per_step"):
            opt.step()
        torch.testing.assert_close(values_of(net), before, rtol=0, atol=0)
        opt.zero_grad()
        expected = torch.autograd.grad(loss_of(net, *whole), list(net.parameters()))
        loss_of(net, x, y).backward()
        opt.step()
        torch.testing.assert_close([p.grad for p in net.parameters()], list(expected))

    ranks(2, work)


def test_clipping_after_backward_sees_everybodys_gradients_of_unfrozen_parameters(ranks):
    def work():
        hvd.init()
        net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))
        net[0].requires_grad_(False)
        net, opt = make(net=net)
        for step in range(4):
            opt.zero_grad()
            if step == 1:
                net.requires_grad_(True)
            (x, y), (xs, ys) = shares(seed=step)
            wanted = [p for p in net.parameters() if p.requires_grad]
            whole = torch.autograd.grad(loss_of(net, xs, ys), wanted)
            loss_of(net, x, y).backward()
            torch.testing.assert_close([p.grad for p in wanted], list(whole))
            nn.utils.clip_grad_norm_(net.parameters(), 0.05)
            opt.step()
        require_alike(net)

    ranks(2, work)


def unfrozen():
    """A network whose first layer was frozen at first, and reached by a backward pass since."""
    net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))
    net[0].requires_grad_(False)
    net, opt = make(net=net)
    net.requires_grad_(True)
    loss_of(net, *shares()[0]).backward()
    return net, opt


def test_a_pass_too_many_that_reaches_unfrozen_parameters_alone_is_an_error(ranks):
    def work():
        hvd.init()
        net, opt = unfrozen()
        with pytest.raises(AssertionError, match="more than backward_passes_per_step times"):
            net[0](shares()[0][0]).sum().backward()
        opt.zero_grad()
        loss_of(net, *shares()[0]).backward()
        opt.step()

    ranks(2, work)


@pytest.mark.parametrize("by", ["zero_grad", "synchronize"])
def test_a_new_step_that_reaches_unfrozen_parameters_alone_is_exchanged(ranks, by):
    def work():
        hvd.init()
        net, opt = unfrozen()
        for _ in range(2):
            if by == "zero_grad":
                net.zero_grad()
            else:
                opt.synchronize()
            before = None if by == "zero_grad" else net[0].weight.grad.clone()
            x, _ = shares()[0]
            (own,) = torch.autograd.grad(net[0](x).sum(), [net[0].weight])
            net[0](x).sum().backward()
            opt.synchronize()
            # What had been added up before is equal on all ranks, and so is its average.
            whole = hvd.allreduce(own) + (0 if before is None else before)
            torch.testing.assert_close(net[0].weight.grad, whole)
            with opt.skip_synchronize():
                opt.step()
        require_alike(net)

    ranks(2, work)


def test_a_layer_can_be_unfrozen_before_the_optimizer_s_state_is_broadcast(ranks):
    def work():
        hvd.init()
        net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))
        net[0].requires_grad_(False)
        net, opt = make(net=net)
        net[0].requires_grad_(True)
        hvd.broadcast_optimizer_state(opt, 0)
        for _ in range(2):
            loss_of(net, *shares()[0]).backward()
            opt.step()
            opt.zero_grad()
        require_alike(net)

    ranks(2, work)


def test_optimizers_that_ranks_step_in_another_order_keep_their_own_gradients(ranks):
    def work():
        hvd.init()

        def half_frozen():
            net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
            net[0].requires_grad_(False)
            return make(net=net)

        (a, one), (b, other) = half_frozen(), half_frozen()
        both = (other, one) if hvd.rank() else (one, other)
        for step in range(3):
            for net in (a, b):
                net[0].requires_grad_(step > 0)
                for parameter in net.parameters():
                    parameter.data.copy_(torch.eye(2))
            x = torch.ones(1, 2)
            (a(x).sum() + 100 * b(x).sum()).backward()
            for net, factor in ((a, 1.0), (b, 100.0)):
                assert net[1].weight.grad.unique().tolist() == [factor]
            for optimizer in both:
                optimizer.step()
            for optimizer in both:
                optimizer.zero_grad()

    ranks(2, work)
