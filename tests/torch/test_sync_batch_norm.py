"""All ranks' batches are normalized as one: like torch's own layer on the whole batch."""

import copy
import itertools
import sys

import cloudpickle
import pytest
import torch

import ringsync.torch as hvd

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


# How the rows of one batch lie on the ranks.
SPLITS = {1: [[6]], 2: [[3, 3], [1, 5], [0, 6]], 3: [[2, 2, 2], [4, 1, 1], [5, 0, 1]]}
SHAPES = [(4,), (4, 3, 2), (4, 5)]
OPTIONS = [{"momentum": None}, {"affine": False}, {"track_running_stats": False}]
TOLERANCES = {torch.float64: 1e-9, torch.float32: 2e-5, torch.bfloat16: 3e-2}


def cases(size):
    """Every shape, and every option with one of them; dtypes but float64 with the last split."""
    shapes = [(shape, {}) for shape in SHAPES]
    kinds = shapes + [(SHAPES[1], chosen) for chosen in OPTIONS]
    return [
        *itertools.product([torch.float64], kinds, SPLITS[size]),
        *itertools.product([torch.float32, torch.bfloat16], shapes, SPLITS[size][-1:]),
    ]


def batch(shape, dtype):
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(6, *shape, generator=generator, dtype=torch.float64) * 3 + 2
    gradient = torch.randn(6, *shape, generator=generator, dtype=torch.float64)
    return x.to(dtype), gradient.to(dtype)


def train(norm, x, gradient):
    """Two batches, then an evaluation: all that a layer gives and keeps."""
    if norm.affine:
        with torch.no_grad():
            norm.weight.copy_(torch.linspace(0.5, 2, x.shape[1]))
            norm.bias.copy_(torch.linspace(-1, 1, x.shape[1]))
    given = []
    for values in (x, x * 2 + 1):
        part = values.detach().requires_grad_()
        y = norm(part)
        y.backward(gradient)
        given += [y.detach(), part.grad]
    kept = {name: value.clone() for name, value in norm.state_dict().items()}
    if norm.track_running_stats:
        given.append(norm.eval()(x).detach())
    return given, kept, [p.grad for p in norm.parameters()]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_split_batches_do_what_the_whole_batch_does(ranks, size):
    def work():
        hvd.init()
        results = []
        for dtype, (shape, options), split in cases(size):
            norm = hvd.SyncBatchNorm(shape[0], **options).to(dtype)
            results.append(train(norm, *(t.split(split)[hvd.rank()] for t in batch(shape, dtype))))
        return results

    def close(one, other):
        assert one.dtype == other.dtype
        tolerance = TOLERANCES.get(one.dtype, 0)
        assert torch.allclose(one.double(), other.double(), rtol=tolerance, atol=tolerance)

    by_rank = ranks(size, work)
    for case, results in zip(cases(size), zip(*by_rank, strict=True), strict=True):
        dtype, (shape, options), split = case
        norm = (torch.nn.BatchNorm2d if len(shape) == 3 else torch.nn.BatchNorm1d)(
            shape[0], **options
        )
        # In bfloat16, the whole batch's own sums are rounded; its exact ones are what is compared.
        exact = torch.float32 if dtype == torch.bfloat16 else dtype
        x, gradient = (t.to(exact) for t in batch(shape, dtype))
        given, kept, gradients = train(norm.to(exact), x, gradient)
        for rows, (own_given, own_kept, _) in zip(
            torch.arange(6).split(split), results, strict=True
        ):
            for one, other in zip(own_given, given, strict=True):
                close(one, other[rows].to(dtype))
            for name, value in kept.items():
                close(own_kept[name], value.to(own_kept[name].dtype))
                assert torch.equal(own_kept[name], results[0][1][name])  # bit for bit
        # A rank's gradients are of its own rows: their sum is the whole's.
        for owns, whole in zip(zip(*(r[2] for r in results), strict=True), gradients, strict=True):
            close(sum(owns), whole.to(dtype))


def test_a_mean_far_from_zero_does_not_eat_the_variance(ranks):
    def work():
        hvd.init()
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(64, 2, generator=generator, dtype=torch.float64) + 1e6
        norm = hvd.SyncBatchNorm(2, eps=0.0, momentum=1.0).double()
        norm(x.split([24, 40])[hvd.rank()])
        # Its square is 1e12: E[x^2] - E[x]^2 keeps four digits of float64.
        assert torch.allclose(norm.running_var, x.var(0), rtol=1e-9, atol=0)

    ranks(2, work)


def test_weights_may_be_wider_than_a_half_precision_input(ranks):
    def work():
        hvd.init()
        norm = hvd.SyncBatchNorm(2)
        x = torch.tensor([[1.0, 2.0], [3.0, 5.0]]) + hvd.rank()
        x = x.to(torch.bfloat16).requires_grad_()
        y = norm(x)
        y.backward(torch.tensor([[1.0, -1.0], [0.5, 2.0]], dtype=torch.bfloat16))
        return y.dtype, x.grad.dtype, norm.weight.grad.dtype, norm.running_mean

    for y, gradient, by_weight, mean in ranks(2, work):
        assert y == gradient == torch.bfloat16
        assert by_weight == torch.float32
        assert torch.allclose(mean, torch.tensor([0.25, 0.4]))


def test_one_value_per_channel_on_all_ranks_together_is_refused(ranks):
    def work():
        hvd.init()
        norm = hvd.SyncBatchNorm(3)
        try:
            norm(torch.ones(1 - hvd.rank(), 3))
        except ValueError as error:
            message = str(error)
        assert norm.num_batches_tracked == 0
        norm(torch.arange(3.0 * (1 + hvd.rank())).reshape(-1, 3))  # and three are enough
        return message

    for message in ranks(2, work):
        assert "Expected more than 1 value per channel when training" in message


def test_an_input_without_channels_is_refused():
    with pytest.raises(ValueError, match=r"expected at least 2D input \(got 1D input\)"):
        hvd.SyncBatchNorm(3)(torch.ones(3))


def test_evaluation_asks_nobody(ranks):
    def work():
        hvd.init()
        if hvd.rank() == 1:
            return None
        x = torch.randn(4, 3)
        for keeps in (True, False):
            norm = hvd.SyncBatchNorm(3, track_running_stats=keeps).eval()
            like = torch.nn.BatchNorm1d(3, track_running_stats=keeps).eval()
            assert torch.equal(norm(x), like(x))
        return True

    assert ranks(2, work) == [True, None]


def test_layers_meet_by_their_first_call_whatever_else_a_rank_has_made(ranks):
    def work():
        hvd.init()
        if hvd.rank() == 0:
            hvd.SyncBatchNorm(5)  # of rank 0 alone, and never called
        net = torch.nn.Sequential(hvd.SyncBatchNorm(2), torch.nn.Linear(2, 3), hvd.SyncBatchNorm(3))
        x = torch.arange(4.0).reshape(2, 2) ** (1 + hvd.rank())
        net(net[0](x)).sum().backward()  # the first layer twice in one graph
        other = copy.deepcopy(net)
        other(x)
        hvd.shutdown()
        hvd.init()  # a world in which one rank has seen layers, and the other might be new
        net(x)
        return [norm.running_mean for norm in (net[0], net[2], other[0])]

    first, second = ranks(2, work)
    for one, other in zip(first, second, strict=True):
        assert one.isfinite().all()
        assert torch.equal(one, other) or one.shape == (3,)  # Linear's weights differ
    assert torch.equal(first[0], second[0])


def test_a_frozen_input_needs_no_exchange_backward(ranks):
    def work():
        hvd.init()
        norm = hvd.SyncBatchNorm(2)
        y = norm(torch.tensor([[1.0, 2.0], [3.0, 5.0]]) * (1 + hvd.rank()))
        if hvd.rank() == 0:  # alone
            y.sum().backward()
        return norm.bias.grad

    first, second = ranks(2, work)
    assert torch.equal(first, torch.full((2,), 2.0))
    assert second is None


def test_a_process_set_normalizes_on_its_own(ranks):
    def work():
        hvd.init()
        pair = hvd.add_process_set([0, 2])
        x = torch.tensor([[1.0], [2.0]]) + 10 * hvd.rank() ** 2
        everyone = hvd.SyncBatchNorm(1, momentum=1.0)
        if hvd.rank() != 1:
            norm = hvd.SyncBatchNorm(1, momentum=1.0, process_set=pair)
            norm(x)
        everyone(x)
        copy.deepcopy(everyone)(x)
        return everyone.running_mean.item(), None if hvd.rank() == 1 else norm.running_mean.item()

    first, outsider, third = ranks(3, work)
    assert first == third == pytest.approx((1.5 + 50 / 3, 21.5))
    assert outsider == (pytest.approx(1.5 + 50 / 3), None)
