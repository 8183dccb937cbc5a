"""What ranks compare before they exchange their first gradients, and when they wait for it."""

import json
import sys
import time
import warnings

import cloudpickle
import pytest
import torch
from torch import nn

import ringsync.torch as hvd
from ringsync.parallel import in_flight

from .wrapped import loss_of, make, require_alike, shares, values_of

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.mark.parametrize("form", ["none", "fp16"])
def test_layers_may_exchange_in_backward_although_a_rank_skips_the_last_one(ranks, form):
    def work():
        hvd.init()
        net = nn.ModuleList([nn.Linear(2, 3), hvd.SyncBatchNorm(3), nn.Linear(3, 1)])
        net, opt = make(net=net, compression=getattr(hvd.Compression, form))
        for step in range(3):
            opt.zero_grad()
            torch.manual_seed(2 * step + hvd.rank())
            body = net[1](net[0](torch.randn(4, 2)))
            (net[2](body) if hvd.rank() == 0 else body).square().sum().backward()
            opt.step()
            assert net[2].weight.grad.count_nonzero() > 0
        require_alike(net)

    ranks(2, work)


@pytest.mark.parametrize("form", ["none", "fp16"])
def test_the_first_parameter_of_another_shape_is_named(ranks, form):
    def work():
        hvd.init()
        net, _opt = make(
            net=nn.Linear(2, 1 + hvd.rank()), compression=getattr(hvd.Compression, form)
        )
        with pytest.raises(
            hvd.HorovodInternalError,
            match=r"rank 1 holds 'weight' \(2, 2\) float32, rank 0 holds 'weight' \(1, 2\) float32",
        ):
            net(torch.ones(1, 2)).sum().backward()

    ranks(2, work)


@pytest.mark.parametrize("form", ["none", "fp16"])
def test_the_first_parameter_of_another_name_is_named(ranks, form):
    def work():
        hvd.init()
        net = nn.Linear(2, 1)
        opt = hvd.DistributedOptimizer(
            torch.optim.SGD(net.parameters(), lr=0.1),
            [(f"{'ab'[hvd.rank()]}.{name}", p) for name, p in net.named_parameters()],
            compression=getattr(hvd.Compression, form),
        )
        with pytest.raises(
            hvd.HorovodInternalError, match=r"rank 1 holds 'b\.weight'.*rank 0 holds 'a\.weight'"
        ):
            net(torch.ones(1, 2)).sum().backward()
        opt.zero_grad()

    ranks(2, work)


def test_parameters_of_another_dtype_are_named(ranks):
    def work():
        hvd.init()
        net, _opt = make(net=nn.Linear(2, 1).to([torch.float32, torch.bfloat16][hvd.rank()]))
        x = torch.ones(1, 2, dtype=net.weight.dtype)
        with pytest.raises(hvd.HorovodInternalError, match=r"'weight' \(1, 2\) bfloat16"):
            net(x).sum().backward()

    ranks(2, work)


def test_gradients_travel_during_backward_from_the_first_step_on(ranks):
    def work():
        hvd.init()
        heads, opt = make(net=nn.ModuleList([nn.Linear(2, 1) for _ in range(4)]))
        sent = []
        submit = in_flight.start

        def watched(place, collective, array, name, *how):
            sent.append(name)
            return submit(place, collective, array, name, *how)

        in_flight.start = watched
        early = []
        for _ in range(3):
            sent.clear()
            heads[3](torch.ones(1, 2)).sum().backward()  # the others are not reached
            early.append(len(sent) > 0)
            opt.step()
        return early

    assert ranks(2, work) == [[True] * 3] * 2


def _lay_channels_last(net):
    net.to(memory_format=torch.channels_last)


def _leave_gaps(net):
    net.weight = nn.Parameter(torch.zeros(2, 3, 2, 4)[..., ::2])


@pytest.mark.parametrize(
    ("lay_otherwise", "words"),
    [
        (_lay_channels_last, r"'weight with dimensions in order \[0, 2, 3, 1\]'"),
        (_leave_gaps, r"rank 1 holds 'weight with gaps in its memory' \(2, 3, 2, 2\)"),
    ],
)
def test_the_first_parameter_whose_memory_lies_otherwise_is_named(ranks, lay_otherwise, words):
    def work():
        hvd.init()
        net = nn.Conv2d(3, 2, 2)
        if hvd.rank() == 1:
            lay_otherwise(net)
        net, _opt = make(net=net)
        with pytest.raises(hvd.HorovodInternalError, match=words):
            net(torch.ones(1, 3, 4, 4)).sum().backward()

    ranks(2, work)


def test_a_warning_of_unlike_values_is_given_once_and_ends_no_exchange(ranks):
    def work():
        hvd.init()
        torch.manual_seed(hvd.rank())
        net = nn.Linear(2, 1)
        opt = hvd.DistributedOptimizer(torch.optim.SGD(net.parameters(), lr=0.1))
        told = []
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for step in range(2):
                try:
                    net(torch.full((1, 2), 1.0 + hvd.rank())).sum().backward()
                except UserWarning as error:
                    told.append((step, str(error)))
                assert net.weight.grad.tolist() == [[1.5, 1.5]]
                opt.zero_grad()
        return told

    first, second = ranks(2, work)
    assert [step for step, _ in first] == [0]
    assert "differ between rank 1 and rank 0" in first[0][1]
    assert second == []


@pytest.mark.parametrize("is_alike", [True, False])
def test_two_optimizers_whose_layers_ranks_use_unlike_need_not_take_turns(ranks, is_alike):
    def work():
        hvd.init()
        torch.manual_seed(0 if is_alike else hvd.rank())
        first, second = nn.ModuleList([nn.Linear(2, 2) for _ in range(2)]), nn.Linear(2, 2)
        _, opt = make(net=first)
        _, other = make(net=second)
        before = values_of(second)
        for _ in range(3):
            opt.zero_grad()
            other.zero_grad()
            body = second(torch.ones(1, 2))
            heads = first if hvd.rank() == 0 else first[:1]
            sum(head(body) for head in heads).sum().backward()
            opt.step()
            other.step()
        moves = hvd.allgather((values_of(second) - before)[None])
        assert moves.count_nonzero() > 0
        assert torch.equal(moves[0], moves[1]) or not is_alike

    ranks(2, work)


@pytest.mark.parametrize("form", ["none", "fp16"])
@pytest.mark.parametrize("has_closure", [False, True])
def test_a_timeline_shows_forward_backward_and_step(ranks, tmp_path, form, has_closure):
    def work():
        hvd.init()
        net, opt = make(compression=getattr(hvd.Compression, form))
        hvd.start_timeline(tmp_path)
        (x, y), _ = shares()

        def compute():
            opt.zero_grad()
            loss_of(net, x, y).backward()

        for _ in range(3):
            if not has_closure:
                compute()
            opt.step(*([compute] if has_closure else []))
        hvd.stop_timeline()

    ranks(2, work)
    for rank in range(2):
        events = json.loads((tmp_path / f"rank.{rank:02d}.json").read_text())["events"]
        names = [event["name"] for event in events if event["lane"] == "train"]
        assert names.count("step") == 3
        assert names.count("backward") == names.count("forward") == 3
        if form == "none":
            assert {"submit", "wait"} <= set(names)


def test_a_timeline_s_backward_ends_where_the_pass_does(ranks, tmp_path):
    def work():
        hvd.init()
        heads, opt = make(net=nn.ModuleList([nn.Linear(2, 1) for _ in range(2)]))
        hvd.start_timeline(tmp_path)
        heads[1](torch.ones(1, 2)).sum().backward()  # the other one is not reached
        after_ns = time.monotonic_ns()
        opt.step()
        hvd.stop_timeline()
        return after_ns

    for rank, after_ns in enumerate(ranks(2, work)):
        written = json.loads((tmp_path / f"rank.{rank:02d}.json").read_text())
        (backward,) = [event for event in written["events"] if event["name"] == "backward"]
        assert backward["end_ns"] <= after_ns
