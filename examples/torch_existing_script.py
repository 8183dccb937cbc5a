"""A PyTorch script that was there before, and the four steps that make it distributed.

Alone it trains as it always did; `ringsyncrun -np 2 examples/torch_existing_script.py` trains on
two ranks. Lines marked "+" are new, what stands below a "was" has replaced it, and nothing else
has changed.
"""

import torch
from torch import nn

# was: from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import ringsync.torch as hvd  # +

CLASSES, POINTS, NOISE, TURNS = 3, 400, 0.1, 1.5


def spirals() -> TensorDataset:
    """Return points of the plane in arms that wind around one another, and the arm of each."""
    generator = torch.Generator().manual_seed(0)
    radius = torch.rand(CLASSES * POINTS, 1, generator=generator)
    label = torch.arange(CLASSES).repeat_interleave(POINTS)
    noise = NOISE * torch.randn(CLASSES * POINTS, 1, generator=generator)
    turn = TURNS * radius + label[:, None] / CLASSES + noise * radius
    angle = 2 * torch.pi * turn
    return TensorDataset(torch.cat([radius * angle.cos(), radius * angle.sin()], 1), label)


def main() -> None:
    """Train and report."""
    hvd.init()  # + 1: meet the other ranks
    torch.manual_seed(0)
    train = spirals()
    sampler = DistributedSampler(train, hvd.size(), hvd.rank())  # + 2: its part of the samples
    # was: loader = DataLoader(train, batch_size=32, shuffle=True)
    loader = DataLoader(train, batch_size=32, sampler=sampler)
    model = nn.Sequential(
        nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, CLASSES)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    hvd.broadcast_parameters(model.state_dict(), root_rank=0)  # + 3: all ranks start equal
    optimizer = hvd.DistributedOptimizer(optimizer, model.named_parameters())  # + 4: mean gradients

    for epoch in range(40):
        sampler.set_epoch(epoch)  # + 2: in another order
        for x, label in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), label)
            loss.backward()
            optimizer.step()
    x, label = train.tensors
    accuracy = (model(x).argmax(1) == label).float().mean()
    # was: print(f"accuracy {accuracy:.1%}")
    if hvd.rank() == 0:
        print(f"{hvd.size()} ranks: accuracy {accuracy:.1%}")


if __name__ == "__main__":
    main()
