"""Parameters that are frozen when their optimizer is wrapped, and not any more later."""

import sys

import cloudpickle
import torch
from torch import nn

import ringsync.torch as hvd

from .wrapped import loss_of, make, shares, values_of

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
        same = hvd.allgather(values_of(net)[None])
        assert torch.equal(same[0], same[1])

    ranks(2, work)
