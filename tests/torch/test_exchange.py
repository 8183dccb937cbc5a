"""Gradients of every kind through the wrapped optimizer, and who takes part in a step."""

import gc
import os
import resource
import sys
import weakref

import cloudpickle
import pytest
import torch
from torch import nn

import ringsync.torch as hvd

from .wrapped import loss_of, make, require_alike, shares, values_of

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def test_what_no_rank_uses_keeps_no_gradient_and_what_one_uses_has_one(ranks):
    def work():
        hvd.init()
        heads = nn.ModuleList([nn.Linear(2, 1), nn.Linear(2, 1), nn.Linear(2, 1)])
        heads[2].requires_grad_(False)
        heads, opt = make(net=heads)
        for _ in range(2):
            opt.zero_grad()
            if hvd.rank() == 0:
                heads[0](torch.ones(1, 2)).sum().backward()
            opt.step()
            assert heads[0].weight.grad.tolist() == [[0.5, 0.5]]
            assert heads[1].weight.grad is None
            assert heads[2].weight.grad is None

    ranks(2, work)


@pytest.mark.parametrize(
    "how",
    [
        {"compression": "fp16"},
        {"op": hvd.Sum},
        {"op": hvd.Max},
        {"gradient_predivide_factor": 2.0},
        {"groups": 2},
        {"sparse_as_dense": True},
    ],
    ids=str,
)
def test_every_form_of_exchange_gives_ranks_one_result(ranks, how):
    def work():
        hvd.init()
        words = dict(how)
        if "compression" in words:
            words["compression"] = hvd.Compression.fp16
        net, opt = make(**words)
        (x, y), _ = shares()
        own = torch.autograd.grad(loss_of(net, x, y), list(net.parameters()))
        op = words.get("op", hvd.Average)
        expected = [hvd.allreduce(g, op=op) for g in own]
        for _ in range(2):
            opt.zero_grad()
            loss_of(net, x, y).backward()
            opt.synchronize()
            got = [p.grad.clone() for p in net.parameters()]
            torch.testing.assert_close(got, expected, rtol=2e-3, atol=1e-4)
            with opt.skip_synchronize():
                pass
        opt.step()
        require_alike(net)

    ranks(2, work)


def test_sparse_and_bfloat16_gradients_travel(ranks):
    def work():
        hvd.init()
        net = nn.Sequential(nn.Embedding(5, 2, sparse=True), nn.Linear(2, 1))
        net, opt = make(lambda p: torch.optim.SGD(p, lr=0.1), net=net)
        for _ in range(2):
            opt.zero_grad()
            net(torch.tensor([hvd.rank(), 3])).sum().backward()
            opt.step()
            dense = net[0].weight.grad.to_dense()
            assert dense[4].tolist() == [0.0, 0.0]
            assert torch.allclose(dense[0], net[1].weight.grad.new_tensor(dense[1]))
        require_alike(net)
        half = nn.Linear(3, 2).to(torch.bfloat16)
        half, opt = make(net=half)
        half(torch.full((1, 3), 1.0 + hvd.rank(), dtype=torch.bfloat16)).sum().backward()
        opt.step()
        assert half.weight.grad.tolist() == [[1.5] * 3] * 2

    ranks(2, work)


def test_sparse_gradients_travel_as_they_are_beside_compressed_ones(ranks):
    def work():
        hvd.init()
        net = nn.Sequential(nn.Embedding(5, 2, sparse=True), nn.Linear(2, 1))
        net, opt = make(
            lambda p: torch.optim.SGD(p, lr=0.1), net=net, compression=hvd.Compression.fp16
        )
        net(torch.tensor([hvd.rank(), 3])).sum().backward()
        opt.step()
        dense = net[0].weight.grad.to_dense()
        assert dense.count_nonzero(1).tolist() == [2, 2, 0, 2, 0]
        require_alike(net)

    ranks(2, work)


@pytest.mark.parametrize("op", [hvd.Average, hvd.Max])
def test_gradients_that_are_dropped_are_gone(ranks, op):
    def work():
        hvd.init()
        net, opt = make(net=nn.Linear(2, 1), op=op, compression=hvd.Compression.fp16)
        for _ in range(2):
            net(torch.ones(1, 2)).sum().backward()
            opt.step()
            left = weakref.ref(net.weight.grad)
            opt.zero_grad()
            gc.collect()
            assert left() is None

    ranks(2, work)


def test_adasum_moves_all_ranks_alike(ranks):
    def work():
        hvd.init()
        net, opt = make(op=hvd.Adasum)
        for step in range(2):
            (x, y), _ = shares(seed=step)
            opt.zero_grad()
            loss_of(net, x, y).backward()
            opt.step()
        require_alike(net)
        with pytest.raises(AssertionError, match="Adasum"), opt.skip_synchronize():
            pass
        net.requires_grad_(False)  # nothing is left to move
        opt.step()

    ranks(2, work)


def test_grad_scaler_sees_everybodys_gradients(ranks):
    def work():
        hvd.init()
        net, opt = make()
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1)
        for step in range(3):
            (x, y), _ = shares(seed=step)
            opt.zero_grad()
            loss = loss_of(net, x, y)
            if step == 1 and hvd.rank() == 0:
                loss = loss * float("inf")  # both ranks skip the step
            scaler.scale(loss).backward()
            scaler.unscale_(opt)
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            scaler.step(opt)
            scaler.update()
        require_alike(net)
        assert values_of(net).isfinite().all()
        return scaler.get_scale()

    first, second = ranks(2, work)
    assert first == second


def test_process_sets_train_by_themselves(ranks):
    def work():
        pair = hvd.ProcessSet([0, 2])
        hvd.init(process_sets=[pair])
        net, opt = make(process_set=pair)
        x = torch.full((1, 4), float(hvd.rank()))
        opt.zero_grad()
        net(x).sum().backward()
        opt.step()
        return values_of(net)

    first, second, third = ranks(3, work)
    assert torch.equal(first, third)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("form", ["none", "fp16", "bf16"])
def test_a_rank_that_has_joined_adds_zeros_to_gradients_of_every_form(ranks, form):
    def work():
        hvd.init()
        compression = getattr(hvd.Compression, form)
        net, opt = make(net=nn.Linear(2, 1), compression=compression)
        for _ in range(3 if hvd.rank() == 0 else 1):
            opt.zero_grad()
            net(torch.ones(1, 2)).sum().backward()
            opt.step()
        hvd.join()
        return net.weight.grad.tolist()

    assert ranks(2, work) == [[[0.5, 0.5]], [[1.0, 1.0]]]


def test_parameters_may_be_added(ranks):
    def work():
        hvd.init()
        net, opt = make(net=nn.Linear(2, 1))
        more = nn.Linear(1, 1)
        opt.add_param_group({"params": list(more.parameters())})
        more(net(torch.full((1, 2), 1.0 + hvd.rank()))).sum().backward()
        opt.step()
        same = hvd.allgather(more.weight.grad)
        assert torch.equal(same[0], same[1])

    ranks(2, work)


def test_horovod_s_numbers_name_ops(ranks):
    def work():
        hvd.init()
        for op in (hvd.Average, hvd.Sum, hvd.Adasum):
            net, opt = make(net=nn.Linear(2, 1), op=int(op))
            assert opt.op is op
            net(torch.ones(1, 2)).sum().backward()
            opt.step()

    ranks(2, work)


def test_arguments_are_checked_as_horovod_does(ranks):
    def work():
        hvd.init()
        net = nn.Linear(2, 1)
        plain = torch.optim.SGD(net.parameters(), lr=0.1)
        w, b = net.parameters()
        for how, words in (
            ({"named_parameters": [w, b]}, "sequence of tuples"),
            ({"named_parameters": [("a", w), ("a", b)]}, "must be unique. Found duplicates: a"),
            ({"named_parameters": [("a", w)]}, "were not named"),
            ({"named_parameters": iter([])}, "were not named"),  # has been used up before
            ({"backward_passes_per_step": 0}, "must be > 0"),
            ({"backward_passes_per_step": 1.5}, r"backward_passes_per_step=1\.5 is no whole"),
            ({"op": "Sum"}, "op='Sum' is none of Average, Sum"),
            ({"op": 7}, "op=7 is none of Average, Sum"),
            ({"compression": "fp16"}, r"compression='fp16' cannot.*hvd\.Compression\.fp16"),
            ({"gradient_predivide_factor": 0}, "gradient_predivide_factor=0 was given"),
            ({"gradient_predivide_factor": float("nan")}, "gradient_predivide_factor=nan was"),
            ({"gradient_predivide_factor": "2"}, "gradient_predivide_factor='2' was given"),
            ({"gradient_predivide_factor": 2.0, "op": hvd.Sum}, "not supported with op"),
            ({"groups": -1}, "non-negative integer"),
            ({"groups": "abc"}, r"must consist of torch\.Tensor"),
            ({"groups": ([w], [w])}, "only appear once"),
            ({"groups": [[1]]}, r"must consist of torch\.Tensor"),
            ({"groups": [[w], [w]]}, "only appear once"),
        ):
            with pytest.raises(ValueError, match=words):
                hvd.DistributedOptimizer(plain, **how)
        with pytest.warns(DeprecationWarning, match="num_groups"):
            hvd.DistributedOptimizer(plain, num_groups=1)

    ranks(1, work)


@pytest.mark.parametrize("op", [hvd.Average, hvd.Adasum])
def test_passes_that_are_set_later_are_checked_as_well(ranks, op):
    def work():
        hvd.init()
        _net, opt = make(op=op)
        opt.set_backward_passes_per_step(2)
        with pytest.raises(ValueError, match="must be > 0, and is 0"):
            opt.set_backward_passes_per_step(0)
        assert opt.backward_passes_per_step == 2

    ranks(2, work)


def test_a_step_takes_few_pages_anew_although_gradients_are_dropped(ranks):
    def work():
        for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_"))]:
            del os.environ[name]
        hvd.init()
        net, opt = make(net=nn.Sequential(*[nn.Linear(1024, 1024, bias=False) for _ in range(8)]))
        x = torch.ones(1, 1024)
        faults = []
        for _ in range(6):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            opt.zero_grad()
            net(x).sum().backward()
            opt.step()
            faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        return min(faults[3:])

    pages = 1024 * 1024 * 4 // resource.getpagesize()  # of a gradient
    assert all(faults < pages // 10 for faults in ranks(2, work))
