"""Training on two ranks is training: what torch's own wrapper, or one process, would have done."""

import os
import sys

import cloudpickle
import pytest
import torch

import ringsync.torch as hvd

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


BATCH = 16
OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=2e-3),
}


def make_net(dtype):
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(4, 8, 3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(32, 10),
    ).to(dtype)


def batch(step, dtype):
    """One whole batch: a picture for each class, with noise."""
    pictures = torch.randn(
        10, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    generator = torch.Generator().manual_seed(step)
    y = torch.randint(10, (BATCH,), generator=generator)
    noise = torch.randn(BATCH, 1, 8, 8, generator=generator, dtype=torch.float64)
    return (pictures[y] + noise / 4).to(dtype), y


def train(net, optimizer, steps, dtype, *, shard=slice(None), is_cast=False, set_to_none=True):
    """Losses, step by step, of the samples in `shard`."""
    losses = []
    for step in range(steps):
        x, y = (part[shard] for part in batch(step, dtype))
        optimizer.zero_grad(set_to_none=set_to_none)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_cast):
            loss = torch.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def train_alone(kind, steps, dtype, **how):
    net = make_net(dtype)
    return train(net, OPTIMIZERS[kind](net.parameters()), steps, dtype, **how)


def train_together(kind, steps, dtype, **how):
    """This rank's losses on its half of each batch."""
    net = make_net(dtype)
    optimizer = hvd.DistributedOptimizer(
        OPTIMIZERS[kind](net.parameters()), named_parameters=net.named_parameters()
    )
    shard = slice(hvd.rank(), None, hvd.size())
    losses = train(net, optimizer, steps, dtype, shard=shard, **how)
    return losses, [p.detach().clone() for p in net.parameters()]


def averaged(results, kind):
    """The loss of the whole batch, whose halves the ranks saw."""
    return torch.tensor([result[kind][0] for result in results], dtype=torch.float64).mean(0)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_float32_losses_are_those_of_ddp_bit_for_bit(ranks, tmp_path, set_to_none):
    def work():
        hvd.init()
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # a host's own name need not be known
        torch.distributed.init_process_group(
            "gloo",
            init_method=(tmp_path / "store").as_uri(),
            rank=hvd.rank(),
            world_size=2,
        )
        results = {}
        for kind, make in OPTIMIZERS.items():
            ours = train_together(kind, 50, torch.float32, set_to_none=set_to_none)
            net = torch.nn.parallel.DistributedDataParallel(make_net(torch.float32))
            theirs = train(
                net,
                make(net.parameters()),
                50,
                torch.float32,
                shard=slice(hvd.rank(), None, 2),
                set_to_none=set_to_none,
            )
            results[kind] = ours, (theirs, [p.detach().clone() for p in net.parameters()])
        # torch's group stays until the process ends: its destructor waits, with the GIL, for a
        # thread that may want the GIL (torch 2.13).
        hvd.shutdown()
        return results

    first, second = ranks(2, work)
    for kind in OPTIMIZERS:
        for result in (first, second):
            (losses, values), (expected, expected_values) = result[kind]
            assert losses == expected
            assert losses[-1] < losses[0]
            assert all(map(torch.equal, values, expected_values))
        assert all(map(torch.equal, first[kind][0][1], second[kind][0][1]))


@pytest.mark.parametrize(
    ("steps", "dtype", "is_cast", "tolerance"),
    [
        pytest.param(50, torch.float64, False, 1e-9, id="float64"),
        pytest.param(20, torch.float32, False, 1e-4, id="float32"),
        pytest.param(20, torch.float32, True, 2e-2, id="bfloat16"),
    ],
)
def test_losses_are_those_of_one_process_with_the_whole_batch(
    ranks, steps, dtype, is_cast, tolerance
):
    def work():
        hvd.init()
        results = {kind: train_together(kind, steps, dtype, is_cast=is_cast) for kind in OPTIMIZERS}
        hvd.shutdown()
        return results

    results = ranks(2, work)
    for kind in OPTIMIZERS:
        expected = train_alone(kind, steps, dtype, is_cast=is_cast)
        torch.testing.assert_close(
            averaged(results, kind),
            torch.tensor(expected, dtype=torch.float64),
            rtol=tolerance,
            atol=0.0,
        )
