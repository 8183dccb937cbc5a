"""What one rank's exception, or its Ctrl-C, or a step cut short leaves to the others."""

import os
import signal
import sys

import cloudpickle
import pytest
import torch
from torch import nn

import ringsync.torch as hvd

from .striking import strike_once_it_waits
from .wrapped import make, make_alike

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


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


@pytest.mark.parametrize(
    "first", ["of another dtype", "with gaps", "sparse", "sparse once made dense"]
)
@pytest.mark.parametrize("due", [0, 1])
def test_what_one_rank_alone_interrupts_ends_for_the_others_and_training_goes_on(ranks, first, due):
    def work():
        hvd.init()
        below, x = nn.Linear(4, 4), torch.ones(1, 4)
        if first == "of another dtype":
            below, x = below.bfloat16(), x.bfloat16()
        elif first == "with gaps":
            below.weight = nn.Parameter(torch.ones(4, 8)[:, ::2])
        else:
            below, x = nn.Embedding(4, 4, sparse=True), torch.tensor([1])
        net, opt = make(
            lambda p: torch.optim.SGD(p, lr=0.1),
            nn.ModuleList([below, nn.Linear(4, 4)]),
            sparse_as_dense=first == "sparse once made dense",
        )

        def backward():
            net[1](Interrupted.apply(net[0](x).float())).sum().backward()

        for step in range(3):
            Interrupted.is_due = step == due
            if Interrupted.is_due and hvd.rank() == 1:
                with pytest.raises(KeyError, match="this rank alone"):
                    backward()
                opt.load_state_dict(opt.state_dict())  # forgets the step
            else:
                backward()
                opt.step()
            opt.zero_grad()
            make_alike(net)

    ranks(2, work)


def test_unlike_models_are_told_although_one_rank_is_interrupted(ranks):
    def work():
        hvd.init()
        own = nn.Linear(4 + hvd.rank(), 4)
        net, opt = make(net=nn.ModuleList([own, nn.Linear(4, 4), nn.Linear(4, 4)]))
        Interrupted.is_due = True
        if hvd.rank() == 1:
            with pytest.raises(KeyError):
                net[2](Interrupted.apply(net[1](torch.ones(1, 4)))).sum().backward()
            opt.load_state_dict(opt.state_dict())
        else:
            net[2](net[1](torch.ones(1, 4))).sum().backward()
            with pytest.raises(hvd.HorovodInternalError, match="Build the same model"):
                opt.step()
        hvd.barrier()

    ranks(2, work)


class CtrlC(KeyboardInterrupt):
    """Of this rank alone."""


@pytest.mark.parametrize("times", [1, 2])  # the second one while what was begun is ended
@pytest.mark.parametrize("compression", [hvd.Compression.none, hvd.Compression.fp16])
def test_after_an_interrupted_wait_nothing_is_taken_for_exchanged(
    ranks, tmp_path, compression, times
):
    def work():
        hvd.init()
        pid = hvd.broadcast_object(os.getpid())

        def interrupt(*_):
            raise CtrlC

        def interrupt_soon(*_):  # rank 1 does it
            (tmp_path / f"strike.{len(list(tmp_path.iterdir()))}").touch()

        net, opt = make(
            lambda p: torch.optim.SGD(p, lr=1.0), nn.Linear(64, 4), compression=compression
        )

        def backward(factor):
            net(torch.full((1, 64), factor * (1.0 + 10 * hvd.rank()))).sum().backward()

        backward(1)
        opt.step()
        opt.zero_grad()
        if hvd.rank() == 0:
            signal.signal(signal.SIGALRM, interrupt)
            hook = net.bias.register_hook(interrupt_soon)
            with pytest.raises(CtrlC):
                backward(2)
            hook.remove()
            for call in (opt.step, opt.synchronize):
                with pytest.raises(CtrlC):
                    call()
            if times == 2:
                interrupt_soon()
                with pytest.raises(CtrlC):
                    opt.zero_grad()
            hvd.barrier()
            opt.zero_grad()
        else:
            for strike in range(times):
                strike_once_it_waits(tmp_path / f"strike.{strike}", pid)
            hvd.barrier()
            backward(2)
            assert net.weight.grad.unique().tolist() == [12.0]
            opt.step()
            opt.zero_grad()
        make_alike(net)
        for factor in (3, 4):
            backward(factor)
            opt.step()
            assert net.weight.grad.unique().tolist() == [6.0 * factor]
            opt.zero_grad()

    ranks(2, work)


def test_an_interrupted_call_of_several_arrays_gives_back_its_name(ranks, tmp_path):
    def work():
        hvd.init()
        pid = hvd.broadcast_object(os.getpid())

        def interrupt(*_):
            raise CtrlC

        def gather():
            return hvd.grouped_allgather([torch.ones(1), torch.ones(2)], name="both")

        if hvd.rank() == 0:
            signal.signal(signal.SIGALRM, interrupt)
            (tmp_path / "ready").touch()
            with pytest.raises(CtrlC):
                gather()
            hvd.barrier()
        else:
            strike_once_it_waits(tmp_path / "ready", pid)
            hvd.barrier()
            gather()
        hvd.barrier()
        assert [len(one) for one in gather()] == [2, 4]

    ranks(2, work)


class Refusing(hvd.Compression.none):
    """Refuses what is of a shape, on one rank."""

    refused = ()

    @classmethod
    def compress(cls, tensor):
        if tensor.shape == cls.refused and hvd.rank() == 1:
            raise RuntimeError("cannot compress")
        return tensor, None


# The first gradient of the exchange, and the last.
@pytest.mark.parametrize("refused", [(2, 2), (2,)])
def test_what_one_rank_cannot_compress_after_backward_leaves_nobody_waiting(ranks, refused):
    def work():
        hvd.init()
        net, opt = make(net=nn.Linear(2, 2), compression=Refusing)
        for step in range(3):
            Refusing.refused = refused if step == 1 else ()
            for parameter in net.parameters():
                parameter.grad = torch.ones_like(parameter)
            if Refusing.refused and hvd.rank() == 1:
                with pytest.raises(RuntimeError, match="cannot compress"):
                    opt.step()
            else:
                opt.step()
            opt.zero_grad()
            make_alike(net)

    ranks(2, work)


@pytest.mark.parametrize("refused", [(3, 4), (4, 3)])  # what was unfrozen, and what was not
def test_what_one_rank_cannot_compress_as_a_layer_is_unfrozen_leaves_nobody_waiting(ranks, refused):
    def work():
        hvd.init()
        net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 4))
        net[0].requires_grad_(False)
        net, opt = make(net=net, compression=Refusing)
        for step in range(3):
            if step == 1:
                net[0].requires_grad_(True)
                Refusing.refused = refused
            if step == 1 and hvd.rank() == 1:
                with pytest.raises(RuntimeError, match="cannot compress"):
                    net(torch.ones(1, 4)).sum().backward()
            else:
                net(torch.ones(1, 4)).sum().backward()
                opt.step()
            Refusing.refused = ()
            opt.zero_grad()
            make_alike(net)

    ranks(2, work)


def test_gradients_computed_anew_after_a_failure_are_those_of_a_new_step(ranks):
    def work():
        hvd.init()
        net, opt = make(net=nn.Linear(2, 1), compression=Refusing)

        def backward(factor):
            (factor * net(torch.ones(1, 2))).sum().backward()

        Refusing.refused = (1,)  # before anything of this rank has travelled
        if hvd.rank() == 1:
            with pytest.raises(RuntimeError, match="cannot compress"):
                backward(100.0)
            net.zero_grad()  # and not the optimizer's
        else:
            backward(100.0)
            opt.step()
            assert net.bias.grad.tolist() == [50.0]
            opt.zero_grad()
        Refusing.refused = ()
        with pytest.raises(hvd.HorovodInternalError, match="rank 1 is at step 0, rank 0 at step 1"):
            backward(1.0)
        make_alike(net)
        net.zero_grad()
        backward(1.0)
        opt.step()
        assert net.bias.grad.tolist() == [1.0]

    ranks(2, work)


@pytest.mark.parametrize("compression", [hvd.Compression.none, hvd.Compression.fp16])
def test_an_optimizer_from_before_init_ends_what_one_rank_has_interrupted(ranks, compression):
    def work():
        hvd.init()
        net, opt = make(
            net=nn.ModuleList([nn.Linear(4, 4) for _ in range(2)]), compression=compression
        )
        for step in range(4):
            if step == 1:
                hvd.barrier()
                hvd.shutdown()
                hvd.init()
            Interrupted.is_due = step == 2 and hvd.rank() == 1
            x = net[1](Interrupted.apply(net[0](torch.ones(1, 4)))).sum()
            if Interrupted.is_due:
                with pytest.raises(KeyError):
                    x.backward()
                opt.load_state_dict(opt.state_dict())
            else:
                x.backward()
                opt.step()
            opt.zero_grad()
            make_alike(net)

    ranks(2, work)
