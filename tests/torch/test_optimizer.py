"""The wrapped optimizer: whatever a script does with a plain one, and all ranks' gradients."""

import copy
import functools
import pickle
import sys
import warnings

import cloudpickle
import pytest
import torch
from torch import nn

import ringsync.torch as hvd

from .wrapped import loss_of, make, one_process, shares, values_of

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.mark.parametrize("set_to_none", [True, False])
def test_training_is_that_of_one_process(ranks, set_to_none):
    def work():
        hvd.init()
        for kind in (None, lambda p: torch.optim.Adam(p, lr=0.01)):
            net, opt = make(kind)
            for step in range(5):
                (x, y), _ = shares(seed=step)
                opt.zero_grad(set_to_none=set_to_none)
                loss_of(net, x, y).backward()
                opt.step()
            torch.testing.assert_close(values_of(net), one_process(5, kind), rtol=1e-4, atol=1e-5)

    ranks(2, work)
    ranks(3, work)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_large_gradients_that_autograd_makes_anew_are_exchanged_and_put_in_their_place(ranks, kind):
    def work():
        hvd.init()
        dtype = getattr(torch, kind)
        net = nn.Sequential(nn.Linear(8, 3000), nn.Tanh(), nn.Linear(3000, 200)).to(dtype)
        opt = torch.optim.SGD(net.parameters(), lr=0.1)
        hvd.broadcast_parameters(net.state_dict(), root_rank=0)
        opt = hvd.DistributedOptimizer(opt, net.named_parameters())
        places = None
        for step in range(4):
            torch.manual_seed(step)
            x, y = torch.randn(6, 8, dtype=dtype), torch.randn(6, 200, dtype=dtype)
            loss = nn.functional.mse_loss(net(x), y)
            whole = torch.autograd.grad(loss, list(net.parameters()))
            opt.zero_grad(set_to_none=step != 2)
            own = slice(hvd.rank(), None, hvd.size())
            nn.functional.mse_loss(net(x[own]), y[own]).backward()
            torch.testing.assert_close([p.grad for p in net.parameters()], list(whole))
            now = [p.grad.data_ptr() for p in net.parameters()]
            assert places in {None, tuple(now)}
            places = tuple(now)
            opt.step()

    ranks(2, work)
    ranks(3, work)


def test_after_backward_gradients_are_everybodys_and_their_memory_is_shared(ranks):
    def work():
        hvd.init()
        net, opt = make()
        (x, y), (xs, ys) = shares()
        opt.zero_grad()
        loss_of(net, x, y).backward()
        mine = [p.grad.clone() for p in net.parameters()]
        whole = torch.autograd.grad(loss_of(net, xs, ys), list(net.parameters()))
        torch.testing.assert_close(mine, list(whole))
        places = [p.grad.data_ptr() for p in net.parameters()]
        opt.step()
        opt.zero_grad(set_to_none=False)
        loss_of(net, x, y).backward()
        assert [p.grad.data_ptr() for p in net.parameters()] == places
        opt.step()
        opt.zero_grad()
        assert all(p.grad is None for p in net.parameters())

    ranks(2, work)


def test_it_is_the_optimizer_that_it_wraps_to_schedulers_and_isinstance(ranks):
    def work():
        hvd.init()
        net, opt = make()
        assert isinstance(opt, torch.optim.SGD)
        scheduler = torch.optim.lr_scheduler.StepLR(opt, step_size=1, gamma=0.5)
        (x, y), _ = shares()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(2):
                loss_of(net, x, y).backward()
                opt.step()
                opt.zero_grad()
                scheduler.step()
        assert opt.param_groups[0]["lr"] == pytest.approx(0.025)
        state = opt.state_dict()
        opt.load_state_dict(state)
        assert opt.state_dict()["param_groups"] == state["param_groups"]

    ranks(1, work)
    ranks(2, work)


def test_clipping_between_synchronize_and_step_sees_everybodys_gradients(ranks):
    def work():
        hvd.init()

        def clip(net):
            nn.utils.clip_grad_norm_(net.parameters(), 0.05)

        net, opt = make()
        for step in range(3):
            (x, y), _ = shares(seed=step)
            opt.zero_grad()
            loss_of(net, x, y).backward()
            opt.synchronize()
            clip(net)
            with opt.skip_synchronize():
                opt.step()
        torch.testing.assert_close(values_of(net), one_process(3, prepare=clip))
        opt.zero_grad()
        loss_of(net, *shares()[0]).backward()
        opt.synchronize()
        with pytest.warns(UserWarning, match=r"without optimizer\.skip_synchronize\(\)"):
            opt.step()

    ranks(2, work)


def test_closures_are_exchanged_each_time(ranks):
    def work():
        hvd.init()
        net, opt = make(functools.partial(torch.optim.LBFGS, lr=0.1, max_iter=4))
        (x, y), (xs, ys) = shares()

        def closure():
            opt.zero_grad()
            loss = loss_of(net, x, y)
            loss.backward()
            return loss

        opt.step(closure)
        torch.manual_seed(7)
        alone = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
        reference = torch.optim.LBFGS(alone.parameters(), lr=0.1, max_iter=4)

        def whole():
            reference.zero_grad()
            loss = loss_of(alone, xs, ys)
            loss.backward()
            return loss

        reference.step(whole)
        torch.testing.assert_close(values_of(net), values_of(alone), rtol=1e-4, atol=1e-5)

    ranks(2, work)


def test_gradients_of_several_passes_and_losses_add_up(ranks):
    def work():
        hvd.init()
        net, opt = make(backward_passes_per_step=2)
        (x, y), (xs, ys) = shares()
        opt.zero_grad()
        for part in (slice(0, 3), slice(3, 6)):
            loss_of(net, x[part], y[part]).backward()
        opt.step()
        torch.manual_seed(7)
        alone = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
        reference = torch.optim.SGD(alone.parameters(), lr=0.1, momentum=0.9)
        (2 * loss_of(alone, xs, ys)).backward()
        reference.step()
        torch.testing.assert_close(values_of(net), values_of(alone))
        # Losses that reach unlike parameters, as those of a GAN.
        heads = nn.ModuleList([nn.Linear(2, 1), nn.Linear(2, 1)])
        heads, opt = make(net=heads)
        for head in heads:
            head(torch.full((1, 2), 1.0 + hvd.rank())).sum().backward()
        opt.step()
        for head in heads:
            assert head.weight.grad.tolist() == [[1.5, 1.5]]

    ranks(2, work)


def test_a_backward_too_many_is_an_error_unless_gradients_were_dropped(ranks):
    def work():
        hvd.init()
        net, opt = make()
        (x, y), _ = shares()
        loss_of(net, x, y).backward()
        with pytest.raises(AssertionError, match="more than backward_passes_per_step times"):
            loss_of(net, x, y).backward()
        with pytest.raises(AssertionError, match="more than backward_passes_per_step times"):
            opt.step()  # ranks' gradients differ by now
        opt.zero_grad()
        loss_of(net, x, y).backward()
        net.zero_grad()  # the step is skipped, as GradScaler does
        loss_of(net, x, y).backward()
        opt.step()
        heads = nn.ModuleList([nn.Linear(2, 1), nn.Linear(2, 1)])
        heads, opt = make(net=heads)
        heads[0](torch.ones(1, 2)).sum().backward()
        with pytest.raises(AssertionError, match="race condition"):
            opt.zero_grad()
        opt.synchronize()
        opt.zero_grad()

    ranks(2, work)


def test_another_number_of_passes_counts_from_the_next_step_that_begins(ranks):
    def work():
        hvd.init()
        net, opt = make(net=nn.Linear(2, 1))

        def backward():
            net(torch.full((1, 2), 1.0 + hvd.rank())).sum().backward()

        backward()  # exchanged
        opt.set_backward_passes_per_step(2)
        with pytest.raises(AssertionError, match="backward_passes_per_step"):
            backward()
        opt.zero_grad()
        backward()
        backward()
        opt.step()
        assert net.weight.grad.tolist() == [[3.0, 3.0]]
        opt.zero_grad()
        backward()
        for passes in (3, 4):  # in the middle of a step of two
            opt.set_backward_passes_per_step(passes)
        backward()
        opt.step()
        assert net.weight.grad.tolist() == [[3.0, 3.0]]
        opt.set_backward_passes_per_step(1)  # between two steps: at once
        opt.zero_grad()
        backward()
        opt.step()
        assert net.weight.grad.tolist() == [[1.5, 1.5]]

    ranks(2, work)


def test_torch_s_step_hooks_run_once_a_step_also_after_a_state_was_loaded(ranks):
    def work():
        hvd.init()
        for op in (hvd.Average, hvd.Adasum):
            net, opt = make(op=op)
            told = []
            opt.register_step_post_hook(lambda *_, told=told: told.append("step"))
            for _ in range(2):
                opt.zero_grad()
                loss_of(net, *shares()[0]).backward()
                opt.step()
                opt.load_state_dict(opt.state_dict())
            assert told == ["step"] * 2

    ranks(2, work)


def test_a_wrapped_optimizer_cannot_be_copied_pickled_or_wrapped_again(ranks):
    def work():
        hvd.init()
        net, opt = make()
        for take in (copy.deepcopy, copy.copy, pickle.dumps):
            with pytest.raises(TypeError, match=r"SGD is wrapped.*Copy or save its state_dict\(\)"):
                take(opt)
        with pytest.raises(ValueError, match="this SGD is wrapped already"):
            hvd.DistributedOptimizer(opt)
        copy.deepcopy(opt.state_dict())
        copy.deepcopy(net)

    ranks(1, work)
