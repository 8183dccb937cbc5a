"""DistributedOptimizer over parameters on a device: what it does on the host, on the device."""

import sys

import cloudpickle
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402 - once torch has been asked for

import ringsync.torch as hvd  # noqa: E402 - likewise

from .torch_device import Stream  # noqa: E402 - likewise
from .torch_net import Halves, batch, host, own, sgd, train, wrapped  # noqa: E402 - likewise

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def spread(device, form):
    """Where the halves of a network lie."""
    return {"device": [device.there] * 2, "mixed": [host, device.there]}[form]


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("form", ["device", "mixed"])
def test_two_ranks_train_as_one_process_with_the_whole_batch(ranks, form, set_to_none):
    def work(device):
        net = Halves(spread(device, form))
        values = train(net, wrapped(net), shard=own(), set_to_none=set_to_none)
        for place, half in zip(net.places, net.halves, strict=True):
            assert all(device.is_there(p.grad) is (place is not host) for p in half.parameters())
        return values

    first, second = ranks(2, work)
    assert torch.equal(first, second)
    net = Halves([host, host])
    expected = train(net, sgd(net.parameters()))
    torch.testing.assert_close(first, expected, rtol=1e-9, atol=1e-12)


HOWS = [
    {"compression": "fp16"},
    {"compression": "bf16"},
    {"op": hvd.Sum},
    {"op": hvd.Max},
    {"op": hvd.Adasum},
    {"gradient_predivide_factor": 2.0},
    {"groups": 2},
    {"backward_passes_per_step": 2},
]


@pytest.mark.parametrize("form", ["device", "mixed"])
@pytest.mark.parametrize("how", HOWS, ids=str)
def test_every_form_of_exchange_gives_what_it_gives_on_the_host(ranks, form, how):
    def work(device):
        words = dict(how)
        if "compression" in words:
            words["compression"] = getattr(hvd.Compression, words["compression"])
        results = []
        for places in (spread(device, form), [host, host]):
            net = Halves(places, torch.float32)
            optimizer = wrapped(net, **words)
            for step in range(3):
                optimizer.zero_grad()
                for part in range(words.get("backward_passes_per_step", 1)):
                    given = batch(10 * step + part, own(), torch.float32)
                    torch.autograd.backward(net.losses(*given))
                optimizer.step()
            results.append(net.values())
        rough = {"rtol": 0.0, "atol": 2e-3} if "compression" in how else {}
        torch.testing.assert_close(*results, **rough)
        values = hvd.allgather(results[0][None])
        assert torch.equal(values[0], values[1])

    ranks(2, work)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_gradients_live_on_the_device_and_stay_where_they_are(ranks, dtype):
    def work(device):
        weights = [nn.Parameter(device.there(torch.ones(2, 3).t().to(dtype))) for _ in range(2)]
        optimizer = hvd.DistributedOptimizer(torch.optim.SGD(weights, lr=1.0))
        places = set()
        for set_to_none in (True, False):
            optimizer.zero_grad(set_to_none=set_to_none)
            (weights[0].sum() * (1.0 + hvd.rank()) + weights[1].sum()).backward()
            assert all(device.is_there(w.grad) for w in weights)
            assert weights[0].grad.stride() == weights[0].stride()
            assert weights[0].grad.tolist() == [[1.5, 1.5]] * 3
            assert weights[1].grad.tolist() == [[1.0, 1.0]] * 3
            places.add(tuple(w.grad.data_ptr() for w in weights))
            optimizer.step()
        assert len(places) == 1
        assert weights[0].tolist() == [[-2.0, -2.0]] * 3

    ranks(2, work)


def test_large_gradients_are_summed_in_several_buckets(ranks):
    def work(device):
        weights = [nn.Parameter(device.there(torch.zeros(300, 300))) for _ in range(4)]
        optimizer = hvd.DistributedOptimizer(torch.optim.SGD(weights, lr=1.0))
        for step in range(2):
            optimizer.zero_grad()
            sum(w.sum() * (i + hvd.rank()) for i, w in enumerate(weights)).backward()
            assert [set(w.grad.flatten().tolist()) for w in weights] == [
                {0.5 + i} for i in range(4)
            ]
            optimizer.step()
            assert weights[3][299, 299].item() == -3.5 * (step + 1)

    ranks(2, work)


def test_what_no_rank_uses_keeps_no_gradient_and_what_one_uses_has_one(ranks):
    def work(device):
        heads = nn.ParameterList([device.there(torch.ones(2)) for _ in range(3)])
        heads[2].requires_grad_(False)
        optimizer = wrapped(heads)
        for _ in range(2):
            optimizer.zero_grad()
            if hvd.rank() == 0:
                heads[0].sum().backward()
            optimizer.step()
            assert heads[0].grad.tolist() == [0.5, 0.5]
            assert heads[1].grad is None
            assert heads[2].grad is None
        heads[2].requires_grad_(True)  # from here on it is exchanged
        optimizer.zero_grad()
        (heads[0].sum() + heads[2].sum() * hvd.rank()).backward()
        optimizer.step()
        assert heads[2].grad.tolist() == [0.5, 0.5]

    ranks(2, work)


@pytest.mark.parametrize("sparse_as_dense", [False, True])
def test_sparse_gradients_are_those_of_all_ranks(ranks, sparse_as_dense):
    def work(device):
        results = []
        for place in (device.there, host):
            torch.manual_seed(1)
            net = nn.ModuleList([nn.Embedding(6, 2, sparse=True), nn.Linear(2, 1)])
            for parameter in net.parameters():
                parameter.data = place(parameter.data)
            optimizer = wrapped(
                net, lambda p: torch.optim.SGD(p, lr=0.1), sparse_as_dense=sparse_as_dense
            )
            for step in range(3):
                optimizer.zero_grad()
                rows = place(torch.tensor([step, 2 + hvd.rank()]))
                net[1](net[0](rows)).sum().backward()
                optimizer.step()
            assert device.is_there(net[0].weight.grad) is (place is not host)
            results.append(net[0].weight.detach().cpu())
        torch.testing.assert_close(*results)

    ranks(2, work)


def test_a_gradient_scaler_works_between_synchronize_and_step(ranks, plugin):
    kind = plugin.kind

    def work(device):
        results = []
        for places in ([device.there] * 2, [host, host]):
            net = Halves(places, torch.float32)
            optimizer = wrapped(net)
            is_there = kind == "cuda" and places[0] is not host
            scaler = torch.amp.GradScaler("cuda" if is_there else "cpu", init_scale=4.0)
            for step in range(4):
                optimizer.zero_grad()
                scaled = [scaler.scale(x) for x in net.losses(*batch(step, own(), torch.float32))]
                if step == 2 and hvd.rank() == 1:
                    scaled[0] = scaled[0] * float("inf")  # the step is left out on all ranks
                torch.autograd.backward(scaled)
                optimizer.synchronize()
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                with optimizer.skip_synchronize():
                    scaler.step(optimizer)
                scaler.update()
            assert scaler.get_scale() == 2.0
            results.append(net.values())
        torch.testing.assert_close(*results)

    ranks(2, work)


def test_parameters_may_be_wrapped_anew(ranks):
    def work(device):
        net = Halves([device.there] * 2)
        earlier = wrapped(net)
        train(net, earlier, 2, own())
        optimizer = wrapped(net)
        train(net, optimizer, 2, own())
        values = hvd.allgather(net.values()[None])
        assert torch.equal(values[0], values[1])
        with pytest.raises(RuntimeError, match="exchanges nothing any more"):
            earlier.step()

    ranks(2, work)


def test_a_bucket_waits_for_the_streams_of_all_its_gradients(simulated_ranks):
    def work(device):
        weights = [nn.Parameter(device.there(torch.ones(3))) for _ in range(2)]
        streams = [Stream(), Stream()]
        optimizer = hvd.DistributedOptimizer(torch.optim.SGD(weights, lr=1.0))
        for weight, stream in zip(weights, streams, strict=True):
            weight.register_hook(lambda _, stream=stream: setattr(device, "stream", stream))
        (weights[0].sum() + weights[1].sum()).backward()
        first, second = streams
        assert (first in second.waited_for) or (second in first.waited_for)
        optimizer.step()

    simulated_ranks(2, work)


def test_backward_and_synchronize_return_before_the_device_has_summed(simulated_ranks):
    def work(device):
        plugin = device.plugin
        weights = [nn.Parameter(device.there(torch.zeros(200, 200))) for _ in range(3)]
        optimizer = hvd.DistributedOptimizer(torch.optim.SGD(weights, lr=1.0))

        def backward():
            sum(w.sum() * (i + hvd.rank()) for i, w in enumerate(weights)).backward()

        for _ in range(3):  # by then ranks see each other's memory
            backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
        flag, other = plugin.allocate(256), plugin.create_stream()
        plugin.put(torch.zeros(64, dtype=torch.int32).numpy(), flag)
        held = device.stream = Stream(plugin.create_stream())
        plugin.wait_flag(flag, 1, held.cuda_stream)
        backward()
        optimizer.synchronize()
        hvd.barrier()
        # Torch's own work is done at once here, so it sees what has been summed so far.
        assert [w.grad.unique().item() for w in weights] == [i + hvd.rank() for i in range(3)]
        plugin.signal([flag], 1, other)
        plugin.call("synchronize_stream", held.cuda_stream)
        assert [w.grad.unique().item() for w in weights] == [0.5 + i for i in range(3)]
        with optimizer.skip_synchronize():
            optimizer.step()
        values = hvd.allgather(torch.stack([w.detach().cpu() for w in weights])[None])
        assert torch.equal(values[0], values[1])

    simulated_ranks(2, work)


def test_the_next_gradient_waits_for_the_exchange_in_whatever_stream_it_is_made(simulated_ranks):
    def work(device):
        weight = nn.Parameter(device.there(torch.ones(3)))
        optimizer = hvd.DistributedOptimizer(torch.optim.SGD([weight], lr=1.0))
        weight.sum().backward()
        behind = device.stream = Stream()
        optimizer.step()  # nothing is left to be exchanged
        weight.sum().backward()
        optimizer.synchronize()
        apart = device.stream = Stream()
        with optimizer.skip_synchronize():
            optimizer.step()
        weight.sum().backward()
        assert behind in apart.waited_for

    simulated_ranks(2, work)
