"""What ranks have to have in common before they train on a device, and how they come by it."""

import sys
import warnings

import cloudpickle
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402 - once torch has been asked for

import ringsync.torch as hvd  # noqa: E402 - likewise
from bench.device.plugin import find_plugin  # noqa: E402 - likewise
from ringsync.torch import devices  # noqa: E402 - likewise
from ringsync.torch.gradients import Gradients  # noqa: E402 - likewise

from .torch_net import Halves, host, own, train, wrapped  # noqa: E402 - likewise

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.mark.parametrize("compression", ["none", "fp16"])
def test_unlike_places_of_a_parameter_are_told_on_every_rank_at_the_first_step(ranks, compression):
    def work(device):
        net = Halves([device.there if hvd.rank() else host, host])
        optimizer = wrapped(net, compression=getattr(hvd.Compression, compression))
        words = (
            r"rank 1 holds 'halves\.0\.0\.weight' \(8, 4\) float64 on cuda, rank 0 holds "
            r"'halves\.0\.0\.weight' \(8, 4\) float64 on cpu\. Build the same model on all ranks\."
        )
        with pytest.raises(hvd.HorovodInternalError, match=words):
            train(net, optimizer, 1)
        assert hvd.allreduce(torch.ones(1)).item() == 1.0

    ranks(2, work)


def test_values_that_differ_at_the_first_step_are_told(ranks):
    def work(device):
        weight = nn.Parameter(device.there(torch.full((3,), float(hvd.rank()))))
        optimizer = hvd.DistributedOptimizer(torch.optim.SGD([weight], lr=1.0))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            weight.sum().backward()
        assert len(told) == (hvd.rank() == 0)
        assert all("its values at the first step differ" in str(one.message) for one in told)
        hvd.broadcast_parameters([weight], 0)
        optimizer.step()
        assert weight.tolist() == [-1.0] * 3

    ranks(2, work)


def test_an_optimizer_state_on_the_device_reaches_ranks_that_have_none(ranks):
    def work(device):
        net = Halves([host, device.there])
        optimizer = wrapped(net, lambda p: torch.optim.Adam(p, lr=0.01))
        if hvd.rank() == 0:
            for parameter in net.parameters():
                parameter.grad = torch.ones_like(parameter)
            torch.optim.Adam.step(optimizer)
        hvd.broadcast_optimizer_state(optimizer, 0)
        hvd.broadcast_parameters(net.named_parameters(), 0)
        for parameter in net.halves[1].parameters():
            assert device.is_there(optimizer.state[parameter]["exp_avg"])
        values = hvd.allgather(train(net, optimizer, 3, own())[None])
        assert torch.equal(values[0], values[1])

    ranks(2, work)


def test_parameters_on_two_gpus_of_one_rank_are_refused(monkeypatch):
    monkeypatch.setattr(devices, "kind_of", lambda _: "cuda")
    parameters = [nn.Parameter(torch.ones(1, device=device)) for device in ("cpu", "meta")]
    words = r"\[DistributedOptimizer\] 'b' lies on meta, and 'a' on cpu; one GPU for each rank is"
    with pytest.raises(ValueError, match=words):
        Gradients(parameters, ["a", "b"])


def test_what_was_built_is_told():
    try:
        is_built = find_plugin("cuda").exists()
    except FileNotFoundError:
        is_built = False
    assert hvd.cuda_built() is is_built
    assert hvd.nccl_built() == 0  # it is found, not built


@pytest.mark.gpu
def test_a_network_that_is_moved_after_its_optimizer_was_wrapped_is_told(gpu_ranks):
    def work(device):
        net = nn.Linear(2, 2)
        optimizer = wrapped(net)
        net.cuda()
        with pytest.raises(
            ValueError, match=r"on cuda:0, and it was .* on cpu when it was wrapped"
        ):
            net(device.there(torch.ones(1, 2))).sum().backward()
        del optimizer

    gpu_ranks(2, work)
