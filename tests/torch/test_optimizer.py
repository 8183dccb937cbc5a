"""The wrapped optimizer: whatever a script does with a plain one, and all ranks' gradients."""

import sys
import warnings

import cloudpickle
import pytest
import torch
from torch import nn

import ringsync.torch as hvd

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def make(optimizer=None, net=None, **how):
    torch.manual_seed(7)
    net = net or nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    plain = (optimizer or (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)))(net.parameters())
    return net, hvd.DistributedOptimizer(plain, net.named_parameters(), **how)


def shares(rows=12, seed=3):
    """This rank's inputs and labels, and those of all ranks."""
    torch.manual_seed(seed)
    x, y = torch.randn(rows, 4), torch.randint(0, 3, (rows,))
    own = slice(hvd.rank(), None, hvd.size())
    return (x[own], y[own]), (x, y)


def loss_of(net, x, y):
    return nn.functional.cross_entropy(net(x), y)


def values_of(net):
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def one_process(steps, optimizer=None, prepare=lambda _net: None):
    """What a world of one makes of the whole batches."""
    torch.manual_seed(7)
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    opt = (optimizer or (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)))(net.parameters())
    for step in range(steps):
        _, (x, y) = shares(seed=step)
        opt.zero_grad()
        loss_of(net, x, y).backward()
        prepare(net)
        opt.step()
    return values_of(net)


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
        kind = lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=4)  # noqa: E731
        net, opt = make(kind)
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
        everybodys = hvd.allgather(values_of(net)[None])
        assert torch.equal(everybodys[0], everybodys[-1])

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
        same = hvd.allgather(values_of(net)[None])
        assert torch.equal(same[0], same[1])
        half = nn.Linear(3, 2).to(torch.bfloat16)
        half, opt = make(net=half)
        half(torch.full((1, 3), 1.0 + hvd.rank(), dtype=torch.bfloat16)).sum().backward()
        opt.step()
        assert half.weight.grad.tolist() == [[1.5] * 3] * 2

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
        same = hvd.allgather(values_of(net)[None])
        assert torch.equal(same[0], same[1])
        with pytest.raises(AssertionError, match="Adasum"), opt.skip_synchronize():
            pass

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
        same = hvd.allgather(values_of(net)[None])
        assert torch.equal(same[0], same[1])
        assert same.isfinite().all()
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


def test_unlike_models_are_an_error_on_all_ranks(ranks):
    def work():
        hvd.init()
        net, _opt = make(net=nn.Linear(2, 1 + hvd.rank()))
        with pytest.raises(hvd.HorovodInternalError, match=r"'weight' \(2, 2\)"):
            net(torch.ones(1, 2)).sum().backward()

    ranks(2, work)


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
            ({"backward_passes_per_step": 0}, "must be > 0"),
            ({"gradient_predivide_factor": 2.0, "op": hvd.Sum}, "not supported with op"),
            ({"groups": -1}, "non-negative integer"),
            ({"groups": [[1]]}, r"must consist of torch\.Tensor"),
            ({"groups": [[w], [w]]}, "only appear once"),
        ):
            with pytest.raises(ValueError, match=words):
                hvd.DistributedOptimizer(plain, **how)
        with pytest.warns(DeprecationWarning, match="num_groups"):
            hvd.DistributedOptimizer(plain, num_groups=1)

    ranks(1, work)


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
