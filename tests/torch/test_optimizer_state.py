"""Equal starts: one rank's optimizer state on all, of every optimizer."""

import copy
import functools
import inspect
import sys

import cloudpickle
import pytest
import torch
from torch import nn

import ringsync.torch as hvd

from .wrapped import make, require_alike

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

OPTIMIZERS = sorted(
    (
        kind
        for kind in torch.optim.Optimizer.__subclasses__()
        if kind.__module__.startswith("torch.optim") and kind is not torch.optim.LBFGS
    ),
    key=lambda kind: kind.__name__,
)


def accepted(kind, options):
    return {k: v for k, v in options.items() if k in inspect.signature(kind.__init__).parameters}


def check_state(kind, options, is_wrapped):
    """On every rank: trains on rank 0 alone, broadcasts, and compares."""
    torch.manual_seed(0)
    is_sparse = kind is torch.optim.SparseAdam
    net = torch.nn.Embedding(4, 3, sparse=True) if is_sparse else torch.nn.Linear(4, 3, bias=False)
    optimizer = kind(net.parameters(), **options(hvd.rank()))
    if hvd.rank() == 0:
        for _ in range(2):
            optimizer.zero_grad()
            x = torch.tensor([1, 2]) if is_sparse else torch.randn(5, 4)
            net(x).square().sum().backward()
            optimizer.step()
        net.weight.grad = None
    if is_wrapped:
        state = optimizer.state_dict()
        optimizer = hvd.DistributedOptimizer(optimizer, named_parameters=net.named_parameters())
        assert str(optimizer.state_dict()) == str(state)
    weights = net.weight.detach().clone()
    before = copy.deepcopy(optimizer.state_dict())
    hvd.broadcast_optimizer_state(optimizer, root_rank=0)
    assert torch.equal(net.weight, weights)
    if hvd.rank() == 0:
        assert str(before) == str(optimizer.state_dict())
    state = copy.deepcopy(optimizer.state_dict())
    optimizer.step()  # of the gradients that are there; every optimizer accepts their form
    return state


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert one.stride() == other.stride()
        assert torch.equal(one, other)
    else:
        assert one == other


def test_state_and_options_of_every_optimizer_arrive_where_there_was_none(ranks):
    def options(kind, rank):
        common = {"lr": (0.1, 0.2)[rank], "weight_decay": (0.2, 0.1)[rank]}
        rich = {
            "momentum": (0.8, 0.9)[rank],
            "nesterov": rank == 0,
            "betas": ((0.9, 0.999), (0.8, 0.9))[rank],
            "etas": ((0.8, 2.4), (0.25, 1.75))[rank],
            "step_sizes": ((1e-5, 100), (1e-7, 5))[rank],
            "amsgrad": True,
            "centered": True,
        }
        return [accepted(kind, common | rich), accepted(kind, common)]

    def work():
        hvd.init()
        states = []
        for kind in OPTIMIZERS:
            for which in (0, 1):
                chosen = functools.partial(lambda k, w, rank: options(k, rank)[w], kind, which)
                is_wrapped = kind is not torch.optim.SparseAdam and which == 0
                states.append((kind.__name__, check_state(kind, chosen, is_wrapped)))
        return states

    first, second = ranks(2, work)
    assert len(first) == len(second) == 2 * len(OPTIMIZERS) > 20
    for (name, one), (_, other) in zip(first, second, strict=True):
        # Without momentum, SGD has nothing to keep.
        assert bool(one["state"]) or name == "SGD"
        assert one["param_groups"][0]["lr"] == 0.1
        assert_same(one, other)


def test_the_roots_dtypes_survive_what_load_state_dict_would_cast(ranks):
    def work():
        hvd.init()
        weight = torch.nn.Parameter(torch.ones(2, 3, dtype=torch.bfloat16))
        optimizer = torch.optim.SGD([weight], lr=torch.tensor(0.1 + hvd.rank()), momentum=0.9)
        fill = float(hvd.rank())
        optimizer.state[weight] = {
            "momentum_buffer": torch.full((2, 3), 1 / 3 + fill),
            "count": 2**60 + hvd.rank(),
            "nested": {"pair": (torch.tensor([hvd.rank()], dtype=torch.int8), None)},
        }
        own = optimizer.state[weight]["momentum_buffer"].data_ptr()
        hvd.broadcast_optimizer_state(optimizer, root_rank=1)
        # What fits is written in place.
        assert optimizer.state[weight]["momentum_buffer"].data_ptr() == own
        return optimizer.state_dict()

    first, second = ranks(2, work)
    assert_same(first, second)
    kept = first["state"][0]
    assert kept["momentum_buffer"].dtype == torch.float32
    assert torch.equal(kept["momentum_buffer"], torch.full((2, 3), 1 / 3 + 1.0))
    assert kept["count"] == 2**60 + 1
    assert kept["nested"]["pair"][0].dtype == torch.int8
    assert first["param_groups"][0]["lr"] == torch.tensor(1.1)


def test_state_goes_where_the_root_has_none(ranks):
    def work():
        hvd.init()
        net = torch.nn.Linear(2, 2)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1 * (1 + hvd.rank()))
        if hvd.rank() == 1:
            net(torch.ones(1, 2)).sum().backward()
            optimizer.step()
        hvd.broadcast_optimizer_state(optimizer, root_rank=0)
        gradients = [p.grad.count_nonzero() > 0 for p in net.parameters()]
        return len(optimizer.state), optimizer.param_groups[0]["lr"], gradients

    first, second = ranks(2, work)
    # Gradients are each rank's own; without a backward pass, zeros.
    assert first == (0, 0.1, [False, False])
    assert second == (0, 0.1, [True, True])


def test_lbfgs_is_refused():
    optimizer = torch.optim.LBFGS([torch.nn.Parameter(torch.ones(1))])
    with pytest.raises(ValueError, match=r"cannot broadcast torch\.optim\.LBFGS state"):
        hvd.broadcast_optimizer_state(optimizer, root_rank=0)


def test_disagreeing_optimizers_raise_alike_on_every_rank(ranks):
    def work():
        hvd.init()
        weights = [torch.nn.Parameter(torch.ones(2 + i)) for i in range(3)]
        rank = hvd.rank()
        sgd = torch.optim.SGD
        uneven = sgd(weights[: 2 + rank], lr=0.1)
        shaped = sgd([weights[0], weights[1 + rank]], lr=0.1)
        same = sgd(weights, lr=0.1)
        raised = []
        for optimizer, root in ((uneven, 0), (shaped, 0), (same, rank), (same, 2)):
            try:
                hvd.broadcast_optimizer_state(optimizer, root_rank=root)
            except (ValueError, hvd.HorovodInternalError) as error:
                raised.append((type(error).__name__, str(error)))
        hvd.broadcast_optimizer_state(same, root_rank=1)  # the world goes on
        return raised

    first, second = ranks(2, work)
    assert first == second
    groups, shape, roots, root = first
    assert groups[0] == shape[0] == root[0] == "ValueError"
    assert "rank 1 has groups of [3] parameters, rank 0 of [2]" in groups[1]
    assert "parameter 1 of group 0: rank 1 has shape (4,), rank 0 has (3,)" in shape[1]
    assert roots[0] == "HorovodInternalError"
    assert "rank 1 named root_rank=1, rank 0 named 0" in roots[1]
    assert "root_rank=2 is no rank of this world" in root[1]


def test_optimizers_of_unlike_classes_are_an_error_on_every_rank(ranks):
    def work():
        hvd.init()
        kind = torch.optim.Adam if hvd.rank() else torch.optim.SGD
        optimizer = kind([nn.Parameter(torch.ones(2))], lr=0.1)
        with pytest.raises(ValueError, match="rank 1 has an optimizer Adam, rank 0 SGD"):
            hvd.broadcast_optimizer_state(optimizer, 0)

    ranks(2, work)


@pytest.mark.parametrize("has_travelled", [False, True])
def test_a_step_under_way_is_forgotten_on_the_root_as_well(ranks, has_travelled):
    def work():
        hvd.init()
        net, opt = make(net=nn.ModuleList([nn.Linear(4, 4) for _ in range(2)]))

        def backward(*reached):
            sum(net[k](torch.ones(1, 4)) for k in reached).sum().backward()

        backward(0, 1)
        opt.step()
        opt.zero_grad()
        backward(1 if has_travelled else 0)
        hvd.broadcast_optimizer_state(opt, 0)
        opt.step()
        opt.zero_grad()
        backward(0, 1)
        opt.step()
        require_alike(net)

    ranks(2, work)
