"""What a script drops is freed, whatever hooks there were on its parameters."""

import gc
import sys
import weakref

import cloudpickle
import numpy as np
import pytest
import torch
from torch import nn

import ringsync.torch as hvd
from ringsync.torch.device_space import DeviceSpace

from .wrapped import loss_of, make, shares

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.mark.parametrize("moment", ["after a step", "after backward", "in flight"])
def test_a_network_and_its_optimizer_are_freed_where_both_are_dropped(ranks, moment):
    def work():
        hvd.init()
        net, opt = make(net=nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3), nn.Linear(3, 3)))
        net[0].requires_grad_(False)
        (x, y), _ = shares()
        for step in range(3):
            opt.zero_grad()
            net[0].requires_grad_(step > 0)
            loss_of(net, x, y).backward()
            opt.step()
        if moment == "after backward":
            loss_of(net, x, y).backward()
        elif moment == "in flight":  # only the last layer's gradients are final
            net[2](torch.ones(1, 3)).sum().backward()
        left = [weakref.ref(one) for one in (net, opt, *net.parameters())]
        gc.collect()
        gc.disable()
        del net, opt  # at once, for when the collector comes by is another moment on each rank
        assert [one() for one in left] == [None] * len(left)
        hvd.barrier()

    ranks(2, work)


def test_they_are_freed_after_an_exchange_has_failed_as_well(ranks):
    def work():
        hvd.init()
        net, opt = make(net=nn.Linear(2, 1 + hvd.rank()))
        with pytest.raises(hvd.HorovodInternalError, match="weight"):
            net(torch.ones(1, 2)).sum().backward()
        left = [weakref.ref(one) for one in (net, opt, *net.parameters())]
        gc.collect()
        gc.disable()
        del net, opt
        assert [one() for one in left] == [None] * len(left)
        hvd.barrier()

    ranks(2, work)


def test_a_backward_after_the_optimizer_is_gone_is_this_ranks_alone(ranks):
    def work():
        hvd.init()
        net, opt = make()
        (x, y), _ = shares()
        loss_of(net, x, y).backward()
        opt.step()
        gc.disable()
        del opt
        net.zero_grad()
        net(torch.full((1, 4), 1.0 + hvd.rank())).sum().backward()
        assert net[2].bias.grad.tolist() == [1.0] * 3
        hvd.barrier()

    ranks(2, work)


def test_what_tells_a_gpu_keeps_nothing_of_the_parameter_that_lies_there():
    # On the host, which is where a test can tell when memory goes.
    memory = np.ones(3, np.float32)
    gone = weakref.ref(memory)
    space = DeviceSpace(torch.from_numpy(memory))
    del memory
    assert gone() is None
    assert space.zeros(2, "float32").tolist() == [0.0, 0.0]
