"""What an exchange of gradients tells when it fails, and what goes on afterwards."""

import sys
import warnings

import cloudpickle
import pytest
import torch
from torch import nn

import ringsync.torch as hvd

from .wrapped import loss_of, make, require_alike, shares, values_of

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
        require_alike(net)

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


def test_parameters_are_where_they_were_when_the_adasum_of_steps_has_failed(ranks):
    def work():
        hvd.init()
        net, opt = make(net=nn.Linear(2, 1), op=hvd.Adasum, compression=Uneven)
        before = values_of(net)
        net(torch.full((1, 2), 1.0 + hvd.rank())).sum().backward()
        with pytest.raises(hvd.HorovodInternalError):
            opt.step()
        assert torch.equal(values_of(net), before)
        Uneven.is_uneven = False
        opt.step()
        require_alike(net)

    ranks(2, work)


def test_sets_of_ranks_that_cannot_be_made_leave_nothing_initialized(ranks):
    def work():
        with pytest.raises(ValueError, match="7"):
            hvd.init(process_sets=[hvd.ProcessSet([0, 7])])
        assert not hvd.is_initialized()

    ranks(2, work)
