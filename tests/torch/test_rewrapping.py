"""Parameters that a second optimizer takes over: the later one exchanges their gradients, alone."""

import sys

import cloudpickle
import pytest
import torch
from torch import nn

import ringsync.torch as hvd

from .wrapped import loss_of, make, one_process, shares, values_of

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def wrapped(net):
    return hvd.DistributedOptimizer(
        torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), net.named_parameters()
    )


def train(net, opt, steps):
    for step in range(steps):
        (x, y), _ = shares(seed=step)
        opt.zero_grad()
        loss_of(net, x, y).backward()
        opt.step()


@pytest.mark.parametrize("op", [hvd.Average, hvd.Sum, hvd.Max])
def test_the_later_of_two_optimizers_exchanges_gradients_once(ranks, op):
    def work():
        hvd.init()
        net, first = make(op=op)
        (x, y), _ = shares()
        own = torch.autograd.grad(loss_of(net, x, y), list(net.parameters()))
        expected = [hvd.allreduce(g, op=op) for g in own]
        for keeps_the_first in (True, False):
            if not keeps_the_first:
                first = None
            opt = hvd.DistributedOptimizer(torch.optim.SGD(net.parameters(), lr=0.0), op=op)
            for _ in range(2):
                opt.zero_grad()
                loss_of(net, x, y).backward()
                opt.synchronize()
                torch.testing.assert_close([p.grad for p in net.parameters()], expected)
                with opt.skip_synchronize():
                    opt.step()
        assert first is None

    ranks(2, work)


def test_training_goes_on_with_a_new_optimizer_and_the_old_one_says_so(ranks):
    def work():
        hvd.init()
        net, old = make()
        loss_of(net, *shares()[0]).backward()
        opt = wrapped(net)
        train(net, opt, 3)
        torch.testing.assert_close(values_of(net), one_process(3), rtol=1e-4, atol=1e-5)
        before = values_of(net)
        for use in (old.step, old.synchronize, lambda: old.step(lambda: None)):
            with pytest.raises(RuntimeError, match=r"this SGD exchanges nothing any more.*given"):
                use()
        old.zero_grad()
        assert torch.equal(values_of(net), before)

    ranks(2, work)


def test_an_optimizer_that_cannot_be_had_takes_nothing_from_the_earlier_one(ranks):
    def work():
        hvd.init()
        pair = hvd.add_process_set([0, 1])
        net, old = make()
        plain = torch.optim.SGD(net.parameters(), lr=0.1)
        for how, kind, words in (
            ({"op": hvd.Adasum, "process_set": pair}, NotImplementedError, "non-global process se"),
            ({"process_set": hvd.ProcessSet([0])}, ValueError, r"registered: .*ranks=\[0\]\)\. Pa"),
            ({"process_set": None}, ValueError, r"registered: None\. Pass what add_process_set"),
            ({"process_set": [0, 1]}, ValueError, r"registered: \[0, 1\]\. Pass"),
            ({"optimizer": net}, ValueError, "a Sequential is no optimizer of torch's"),
            ({"optimizer": torch.optim.SGD}, ValueError, "the class SGD is no optimizer"),
        ):
            with pytest.raises(kind, match=words):
                hvd.DistributedOptimizer(**{"optimizer": plain} | how)
        train(net, old, 3)
        torch.testing.assert_close(values_of(net), one_process(3), rtol=1e-4, atol=1e-5)

    ranks(3, work)


def test_without_init_an_optimizer_cannot_be_had_and_the_earlier_one_is_whole(ranks):
    def work():
        hvd.init()
        net, old = make()
        hvd.shutdown()
        with pytest.raises(ValueError, match=r"use hvd\.init\(\)"):
            wrapped(net)
        assert not old._is_released

    ranks(2, work)


def test_what_is_in_flight_is_ended_before_another_optimizer_takes_over(ranks):
    def work():
        hvd.init()
        heads = nn.ModuleList([nn.Linear(2, 1), nn.Linear(2, 1), nn.Linear(2, 1), nn.Linear(2, 1)])
        heads, old = make(net=heads)
        old.step()  # in the first step nothing is in flight before its end
        heads[3](torch.ones(1, 2)).sum().backward()  # the others' buckets wait
        opt = wrapped(heads)
        opt.zero_grad()
        for head in heads:
            head(torch.full((1, 2), 1.0 + hvd.rank())).sum().backward()
        opt.step()
        assert all(head.weight.grad.tolist() == [[1.5, 1.5]] for head in heads)

    ranks(2, work)


def test_optimizers_of_other_parameters_go_on(ranks):
    def work():
        hvd.init()
        net = nn.ModuleList([nn.Linear(2, 1), nn.Linear(2, 1)])
        opts = [
            hvd.DistributedOptimizer(
                torch.optim.SGD(part.parameters(), lr=0.1), net.named_parameters()
            )
            for part in net
        ]
        for part, opt in zip(net, opts, strict=True):
            opt.zero_grad()
            part(torch.full((1, 2), 1.0 + hvd.rank())).sum().backward()
            opt.step()
            assert part.weight.grad.tolist() == [[1.5, 1.5]]

    ranks(2, work)


def test_parameters_can_be_wrapped_again_in_a_new_world(ranks):
    def work():
        hvd.init()
        net, old = make()
        loss_of(net, *shares()[0]).backward()
        for _ in range(2):
            hvd.barrier()
            hvd.shutdown()
            hvd.init()
            torch.manual_seed(7)
            for layer in (net[0], net[2]):
                layer.reset_parameters()
            opt = wrapped(net)
            train(net, opt, 3)
            torch.testing.assert_close(values_of(net), one_process(3), rtol=1e-4, atol=1e-5)
        with pytest.raises(RuntimeError, match="exchanges nothing any more"):
            old.step()

    ranks(2, work)
