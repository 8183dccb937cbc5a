"""What others hook on to parameters and optimizers, whenever they do, still counts."""

import sys
import threading
import warnings

import cloudpickle
import pytest
import torch
from torch import nn

import ringsync.torch as hvd

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("is_assigned", [True, False])
def test_hooks_added_after_wrapping_change_gradients_before_they_are_exchanged(
    ranks, set_to_none, is_assigned
):
    def change(parameter):
        if is_assigned:
            parameter.grad = parameter.grad.clamp(-1, 1)
        else:
            parameter.grad.clamp_(-1, 1)

    def work():
        hvd.init()
        sizes = [4] * 6 + [300_000]
        net = nn.ParameterList([nn.Parameter(torch.zeros(size)) for size in sizes])
        opt = hvd.DistributedOptimizer(torch.optim.SGD(net, lr=1.0), net.named_parameters())
        for parameter in net:
            parameter.register_post_accumulate_grad_hook(change)
        for step in range(1, 4):
            opt.zero_grad(set_to_none=set_to_none)
            sum((p * (4.0 if hvd.rank() == 0 else -0.5)).sum() for p in net).backward()
            opt.step()
            for parameter in net:  # the mean of 1 and -0.5
                assert torch.equal(parameter, torch.full_like(parameter, -0.25 * step))

    ranks(2, work)


@pytest.mark.parametrize("size", [1, 2])
def test_a_scheduler_made_before_sees_the_steps_of_the_wrapped_one(ranks, size):
    def work():
        hvd.init()
        net = torch.nn.Linear(2, 1)
        bare = torch.optim.SGD(net.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.StepLR(bare, step_size=1, gamma=0.5)
        opt = hvd.DistributedOptimizer(bare, net.named_parameters())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(2):
                net(torch.ones(1, 2)).sum().backward()
                opt.step()
                scheduler.step()
        assert opt.param_groups[0]["lr"] == pytest.approx(0.025)

    ranks(size, work)


def test_one_hook_of_an_optimizer_runs_at_a_time(ranks):
    found = []

    class Looking(hvd.Compression.none):
        """Looks from another thread, on which autograd would call what lies on another device."""

        @staticmethod
        def compress(tensor):
            def look():
                found.append(not opt[0]._turn.acquire(blocking=False))

            other = threading.Thread(target=look)
            other.start()
            other.join()
            return tensor, None

    opt = []

    def work():
        hvd.init()
        weights = [nn.Parameter(torch.ones(1)) for _ in range(2)]
        plain = torch.optim.SGD(weights, lr=1.0)
        opt.append(hvd.DistributedOptimizer(plain, compression=Looking))
        sum(weights).sum().backward()
        opt[0].step()
        assert found == [True, True]

    ranks(2, work)
