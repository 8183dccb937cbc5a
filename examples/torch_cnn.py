"""Train a small PyTorch network on handwritten digits, on one process or on many.

Run it plainly, or with `ringsyncrun -np 2 examples/torch_cnn.py`. Two runs alike give the same
numbers, on one, two or four ranks up to rounding.
"""

import argparse
import time

import torch
from torch import nn
from torch.nn import functional

import ringsync.torch as hvd
from ringsync import data


def network() -> nn.Sequential:
    """Return a convolutional network for ten classes of 8 x 8 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def count_hits(model: nn.Module, test: data.Dataset) -> torch.Tensor:
    """Return how many digits the model reads right, and how many there are, of all ranks."""
    x, y = map(torch.tensor, test.shard(hvd.rank(), hvd.size()).arrays())
    with torch.no_grad():
        hits = (model(x).argmax(1) == y).sum()
    return hvd.allreduce(torch.tensor([hits, len(y)]), op=hvd.Sum, name="hits")


def main() -> None:
    """Train and report every epoch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64, help="samples per step, of all ranks")
    parser.add_argument("--lr", type=float, default=0.05)
    arguments = parser.parse_args()

    hvd.init()
    torch.manual_seed(0)
    train, test = data.digits().shuffled(0).split(1437)
    train = train.shard(hvd.rank(), hvd.size())  # its part of every batch
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=arguments.lr, momentum=0.9)
    optimizer = hvd.DistributedOptimizer(optimizer, model.named_parameters())
    hvd.broadcast_parameters(model.state_dict(), root_rank=0)

    for epoch in range(arguments.epochs):
        start_s = time.perf_counter()
        for x, y in train.batches(arguments.batch, shuffle=epoch):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(torch.tensor(x)), torch.tensor(y))
            loss.backward()
            optimizer.step()
        elapsed_s = time.perf_counter() - start_s
        loss = hvd.allreduce(loss.detach(), name="loss")
        hits, total = count_hits(model, test).tolist()
        if hvd.rank() == 0:
            print(
                f"epoch {epoch + 1}: loss {loss:.4f}, test accuracy {hits / total:.2%}, "
                f"{elapsed_s:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
