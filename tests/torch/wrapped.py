"""A network, its wrapped optimizer and this rank's share of a batch, made alike in all tests."""

import sys

import cloudpickle
import torch
from torch import nn

import ringsync.torch as hvd

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def make(optimizer=None, net=None, **how):
    torch.manual_seed(7)
    net = net or nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    plain = (optimizer or (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)))(net.parameters())
    return net, hvd.DistributedOptimizer(plain, net.named_parameters(), **how)


def shares(rows=12, seed=3):
    """This rank's inputs and labels, and those of all ranks."""
    torch.manual_seed(seed)
    x, y = torch.randn(rows, 4), torch.randint(0, 3, (rows,))
    own = slice(hvd.rank(), None, hvd.size())
    return (x[own], y[own]), (x, y)


def loss_of(net, x, y):
    return nn.functional.cross_entropy(net(x), y)


def values_of(net):
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def require_alike(net):
    """The network's values are the same on all ranks."""
    values = hvd.allgather(values_of(net)[None])
    assert all(torch.equal(one, values[0]) for one in values)


def one_process(steps, optimizer=None, prepare=lambda _net: None):
    """What a world of one makes of the whole batches."""
    torch.manual_seed(7)
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    opt = (optimizer or (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)))(net.parameters())
    for step in range(steps):
        _, (x, y) = shares(seed=step)
        opt.zero_grad()
        loss_of(net, x, y).backward()
        prepare(net)
        opt.step()
    return values_of(net)


def make_alike(net):
    """After a step that one rank has left out; else the next one is an error."""
    hvd.broadcast_parameters(net.state_dict(), root_rank=0)
