"""A network of two halves, each in its place, and its training; made alike in all tests."""

import sys

import cloudpickle
import torch
from torch import nn

import ringsync.torch as hvd

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

STEPS = 50


def host(x):
    return x


class Halves(nn.Module):
    """Two networks, each in its place, whose losses add up."""

    def __init__(self, places, dtype=torch.float64):
        super().__init__()
        torch.manual_seed(7)
        self.places = places
        self.halves = nn.ModuleList(
            [nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype) for _ in places]
        )
        for place, half in zip(places, self.halves, strict=True):
            for parameter in half.parameters():
                parameter.data = place(parameter.data)

    def losses(self, x, y):
        return [
            nn.functional.cross_entropy(half(place(x)), place(y))
            for place, half in zip(self.places, self.halves, strict=True)
        ]

    def values(self):
        return torch.cat([p.detach().reshape(-1).cpu() for p in self.parameters()])


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


def wrapped(net, optimizer=sgd, **how):
    return hvd.DistributedOptimizer(optimizer(net.parameters()), net.named_parameters(), **how)


def batch(step, shard=slice(None), dtype=torch.float64):
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(12, 4, generator=generator, dtype=torch.float64).to(dtype)
    return x[shard], torch.randint(0, 3, (12,), generator=generator)[shard]


def train(net, optimizer, steps=STEPS, shard=slice(None), dtype=torch.float64, **how):
    for step in range(steps):
        optimizer.zero_grad(**how)
        torch.autograd.backward(net.losses(*batch(step, shard, dtype)))
        nn.utils.clip_grad_norm_([p for p in net.halves[0].parameters() if p.grad is not None], 0.5)
        optimizer.step()
    return net.values()


def own():
    return slice(hvd.rank(), None, hvd.size())
