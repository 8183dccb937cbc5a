"""What an exchange of gradients tells when it fails, and what goes on afterwards."""

import sys
import warnings

import cloudpickle
import pytest
import torch
from torch import nn

import ringsync.torch as hvd

from .wrapped import loss_of, make, shares, values_of

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def test_unlike_models_are_an_error_on_all_ranks(ranks):
    def work():
        hvd.init()
        net, _opt = make(net=nn.Linear(2, 1 + hvd.rank()))
        with pytest.raises(hvd.HorovodInternalError, match=r"'weight' \(2, 2\)"):
            net(torch.ones(1, 2)).sum().backward()

    ranks(2, work)


class Uneven(hvd.Compression.none):
    """Makes ranks send unlike shapes, once."""

    is_uneven = True

    @classmethod
    def compress(cls, tensor):
        return tensor.reshape(-1)[: 1 + hvd.rank()] if cls.is_uneven else tensor, None


@pytest.mark.parametrize("how", [{"op": hvd.Average}, {"op": hvd.Max, "compression": Uneven}])
def test_a_failed_exchange_is_told_until_zero_grad_and_then_forgotten(ranks, how):
    def work():
        hvd.init()
        is_alike = "compression" in how  # else the models differ, and always will
        net, opt = make(net=nn.Linear(2, 1 if is_alike else 1 + hvd.rank()), **how)
        x = torch.full((1, 2), 1.0 + hvd.rank())
        for _ in range(2):
            with pytest.raises(hvd.HorovodInternalError, match="weight"):
                net(x).sum().backward()
            for call in (opt.synchronize, opt.step):
                with pytest.raises(hvd.HorovodInternalError, match="weight"):
                    call()
            opt.zero_grad()
        if is_alike:
            Uneven.is_uneven = False
            net(x).sum().backward()
            opt.step()
            assert net.weight.grad.tolist() == [[2.0, 2.0]]

    ranks(2, work)


def test_a_state_can_be_loaded_after_a_rank_has_gone(ranks):
    def work():
        hvd.init()
        for op in (hvd.Average, hvd.Max):
            net, opt = make(op=op)
            loss_of(net, *shares()[0]).backward()
            opt.step()
        if hvd.rank() == 1:
            hvd.shutdown()
            return
        state = opt.state_dict()
        opt.zero_grad()
        with pytest.raises(hvd.HorovodInternalError, match="lost rank 1"):
            loss_of(net, *shares()[0]).backward()
        opt.load_state_dict(state)

    ranks(2, work)


def test_unlike_values_at_the_first_step_are_a_warning_on_the_first_rank(ranks):
    def work():
        hvd.init()
        net, _opt = make(net=nn.Linear(2, 1))
        with torch.no_grad():
            net.bias += hvd.rank()
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            net(torch.ones(1, 2)).sum().backward()
        return [str(one.message) for one in seen]

    first, second = ranks(2, work)
    assert "'bias': its values at the first step differ between rank 1 and rank 0" in first[0]
    assert second == []


def test_an_exception_in_backward_is_told_with_a_way_to_go_on(ranks):
    def work():
        hvd.init()
        net, opt = make()
        (x, y), _ = shares()

        def fail(_gradient):
            raise KeyError("mine")

        hook = net[0].weight.register_hook(fail)
        with pytest.raises(KeyError, match="mine"):
            loss_of(net, x, y).backward()
        hook.remove()
        with pytest.raises(AssertionError, match=r"Call one of them first.*with an exception"):
            opt.zero_grad()
        opt.synchronize()
        opt.zero_grad()
        loss_of(net, x, y).backward()
        opt.step()
        same = hvd.allgather(values_of(net)[None])
        assert torch.equal(same[0], same[1])

    ranks(2, work)


class Refusal(Exception):  # noqa: N818 - whatever a compressor raises
    """Cannot be made of its own `args`."""

    def __init__(self, what, why):
        super().__init__(f"{what}: {why}")


class Failing(hvd.Compression.none):
    """Refuses matrices, at first."""

    is_failing = True

    @classmethod
    def compress(cls, tensor):
        if cls.is_failing and tensor.dim() == 2:
            error = Refusal("weight", "too large")
            raise error from error  # its own cause
        return tensor, None


def test_what_a_compressor_raises_is_told_as_it_is_and_training_can_go_on(ranks):
    def work():
        hvd.init()
        net, opt = make(net=nn.Linear(2, 1), compression=Failing)
        x = torch.full((1, 2), 1.0 + hvd.rank())
        for call in (lambda: net(x).sum().backward(), opt.synchronize, opt.step):
            with pytest.raises(Refusal, match="weight: too large"):
                call()
        opt.zero_grad()
        Failing.is_failing = False
        for _ in range(2):
            opt.zero_grad()
            net(x).sum().backward()
            opt.step()
        assert net.weight.grad.tolist() == [[1.5, 1.5]]

    ranks(2, work)


def test_gradients_of_a_step_that_is_cut_short_are_not_lost(ranks):
    def work():
        hvd.init()
        heads, opt = make(net=nn.ModuleList([nn.Linear(40, 40, bias=False) for _ in range(6)]))
        x = torch.full((1, 40), 1.0 + hvd.rank())
        sum(heads[k](x) for k in (3, 4, 5)).sum().backward()  # a bucket, and some of another
        opt.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
        before = heads[3].weight.detach().clone()
        opt.step()
        assert not torch.equal(heads[3].weight, before)

    ranks(2, work)


class Interrupted(torch.autograd.Function):
    """Hands on, until one rank's backward is interrupted."""

    is_due = False

    @staticmethod
    def forward(_ctx, x):
        return x.clone()

    @staticmethod
    def backward(_ctx, gradient):
        if Interrupted.is_due and hvd.rank() == 1:
            raise KeyError("this rank alone")
        return gradient


@pytest.mark.parametrize("first", ["of another dtype", "sparse"])
def test_what_one_rank_alone_interrupts_ends_for_the_others_and_training_goes_on(ranks, first):
    def work():
        hvd.init()
        is_sparse = first == "sparse"
        below = nn.Embedding(4, 4, sparse=True) if is_sparse else nn.Linear(4, 4).bfloat16()
        x = torch.tensor([1]) if is_sparse else torch.ones(1, 4, dtype=torch.bfloat16)
        net, opt = make(
            lambda p: torch.optim.SGD(p, lr=0.1),
            nn.ModuleList([below, nn.Linear(4, 4)]),
            sparse_as_dense=is_sparse,
        )

        def backward():
            net[1](Interrupted.apply(net[0](x).float())).sum().backward()

        for step in range(3):
            Interrupted.is_due = step == 1
            if Interrupted.is_due and hvd.rank() == 1:
                with pytest.raises(KeyError, match="this rank alone"):
                    backward()
                opt.load_state_dict(opt.state_dict())  # forgets the step
            else:
                backward()
                opt.step()
            opt.zero_grad()
        hvd.barrier()

    ranks(2, work)
