"""Parameters that a second optimizer takes over: the later one exchanges their gradients, alone."""

import gc
import pickle
import sys
import weakref

import cloudpickle
import pytest
import torch
from torch import nn

import ringsync.torch as hvd

from .wrapped import loss_of, make, one_process, require_alike, shares, values_of

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


@pytest.mark.parametrize("keeps_the_first", [True, False])
@pytest.mark.parametrize("op", [hvd.Average, hvd.Sum, hvd.Max])
def test_the_later_of_two_optimizers_exchanges_gradients_once(ranks, op, keeps_the_first):
    def work():
        hvd.init()
        net, first = make(op=op)
        (x, y), _ = shares()
        own = torch.autograd.grad(loss_of(net, x, y), list(net.parameters()))
        expected = [hvd.allreduce(g, op=op) for g in own]
        if not keeps_the_first:
            del first
        opt = hvd.DistributedOptimizer(torch.optim.SGD(net.parameters(), lr=0.0), op=op)
        for _ in range(2):
            opt.zero_grad()
            loss_of(net, x, y).backward()
            opt.synchronize()
            torch.testing.assert_close([p.grad for p in net.parameters()], expected)
            with opt.skip_synchronize():
                opt.step()

    ranks(2, work)


@pytest.mark.parametrize(
    "ops", [[hvd.Adasum, hvd.Adasum], [hvd.Adasum, hvd.Average], [hvd.Average, hvd.Adasum]], ids=str
)
def test_optimizers_that_add_up_steps_are_taken_over_and_take_over_as_well(ranks, ops):
    def work():
        hvd.init()
        net, old = make(op=ops[0])
        train(net, old, 1)
        opt = hvd.DistributedOptimizer(torch.optim.SGD(net.parameters(), lr=0.1), op=ops[1])
        train(net, opt, 2)
        (x, y), _ = shares()
        opt.zero_grad()
        own = torch.autograd.grad(loss_of(net, x, y), list(net.parameters()))
        expected = own if ops[1] is hvd.Adasum else [hvd.allreduce(g) for g in own]
        loss_of(net, x, y).backward()
        torch.testing.assert_close([p.grad for p in net.parameters()], list(expected))
        before = values_of(net)
        with pytest.raises(RuntimeError, match="this SGD exchanges nothing any more"):
            old.step()
        assert torch.equal(values_of(net), before)
        opt.step()
        require_alike(net)

    ranks(2, work)


def test_an_optimizer_that_holds_a_parameter_frozen_is_taken_over_at_once(ranks):
    def work():
        hvd.init()
        net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))
        net[0].requires_grad_(False)
        net, old = make(net=net)
        opt = wrapped(net[0])
        net.requires_grad_(True)
        (x, y), _ = shares()
        for _ in range(2):
            opt.zero_grad()
            own = torch.autograd.grad(loss_of(net, x, y), list(net[0].parameters()))
            expected = [hvd.allreduce(g) for g in own]
            loss_of(net, x, y).backward()
            opt.synchronize()
            torch.testing.assert_close([p.grad for p in net[0].parameters()], expected)
            with opt.skip_synchronize():
                opt.step()
        with pytest.raises(RuntimeError, match="exchanges nothing any more"):
            old.step()

    ranks(2, work)


@pytest.mark.parametrize("op", [hvd.Average, hvd.Adasum])
def test_knowing_who_exchanges_a_parameter_keeps_nothing_alive_and_is_not_pickled(ranks, op):
    def work():
        hvd.init()
        net, opt = make(op=op)
        train(net, opt, 1)
        same = pickle.loads(pickle.dumps(net))
        assert torch.equal(values_of(net), values_of(same))
        left = [weakref.ref(net[0].weight), weakref.ref(opt)]
        del net, opt
        gc.collect()
        assert [one() for one in left] == [None, None]

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


def test_in_a_world_of_one_the_earlier_optimizer_is_over_as_well(ranks):
    def work():
        hvd.init()
        net, opt = make()
        later = hvd.DistributedOptimizer(torch.optim.SGD(net.parameters(), lr=0.1))
        later.step()
        with pytest.raises(RuntimeError, match="given to another DistributedOptimizer later"):
            opt.step()

    ranks(1, work)


def test_a_step_after_shutdown_takes_the_gradients_that_there_are(ranks):
    def work():
        hvd.init()
        net, opt = make(net=nn.Linear(2, 1, bias=False))
        net(torch.ones(1, 2)).sum().backward()
        before = net.weight.detach().clone()
        hvd.shutdown()
        opt.step()
        assert not torch.equal(net.weight, before)

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


@pytest.mark.parametrize("way", ["a group is added", "a state is loaded", "wrapped anew"])
def test_a_step_that_all_ranks_cut_short_may_have_reached_unlike_parameters(ranks, way):
    def work():
        hvd.init()
        heads, opt = make(net=nn.ModuleList([nn.Linear(40, 40) for _ in range(6)]))
        x = torch.ones(1, 40)
        sum(head(x) for head in heads).sum().backward()
        opt.step()
        opt.zero_grad()
        reached = (0, 1, 2) if hvd.rank() else (3, 4, 5)  # whole buckets on one rank alone
        sum(heads[k](x) for k in reached).sum().backward()
        if way == "a group is added":
            opt.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
        elif way == "a state is loaded":
            opt.load_state_dict(opt.state_dict())
        else:
            opt = hvd.DistributedOptimizer(
                torch.optim.SGD(heads.parameters(), lr=0.1), heads.named_parameters()
            )
        opt.step()
        require_alike(heads)

    ranks(2, work)
