"""Train a small convolutional network on handwritten digits, on one process or on many.

Run it plainly, or with `ringsyncrun -np 4 python examples/train_cnn.py`: the four lines marked
"ringsync" are all that distribution takes. The network is the classic one: Conv 6@5x5 - ReLU -
Conv 16@5x5 - ReLU - Flatten - 120 - 84 - 10.
"""

import argparse
import time

import numpy as np

import ringsync as rs
from ringsync import data, models, nn, optim


def load(source: str) -> tuple[data.Dataset, data.Dataset]:
    """Return training and test set of "digits", "mnist5k" or an .npz file's path."""
    if source == "digits":
        return data.digits().shuffled(0).split(1437)
    if source == "mnist5k":
        return data.mnist5k().split(4000)
    whole = data.load(source)
    return whole.split(len(whole) * 4 // 5)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits", help="digits, mnist5k or an .npz file")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument(
        "--batch", type=int, default=64, help="samples per step, all ranks together"
    )
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", metavar="FILE.npz", help="write the trained parameters here")
    parser.add_argument(
        "--device", default="cpu", choices=["cpu", "cuda"], help="cuda: on a GPU, with CuPy"
    )
    return parser.parse_args()


def take_gpu(number: int) -> None:
    """Make a GPU of this host CuPy's current one; they are taken in turn if there are fewer."""
    try:
        import cupy  # noqa: PLC0415  only where it is asked for

        count = cupy.cuda.runtime.getDeviceCount()
    except (ImportError, RuntimeError):
        return  # the network's `to` says what is missing, and what to do
    if count:
        cupy.cuda.Device(number % count).use()


def main() -> None:
    """Train and report every epoch."""
    arguments = parse_arguments()
    rs.init()  # ringsync 1: meet the other ranks; alone without a launcher
    if arguments.device == "cuda":
        take_gpu(rs.local_rank())
    train, test = load(arguments.data)
    channels, image = train.arrays()[0].shape[1:3]
    net = models.lenet(in_channels=channels, image=image, classes=10, seed=arguments.seed)
    net.to(arguments.device)
    rs.broadcast_parameters(net, root=0)  # ringsync 2: all ranks start equal
    plain = optim.SGD(net.parameters(), lr=arguments.lr, momentum=arguments.momentum)
    optimizer = rs.DistributedOptimizer(plain)  # ringsync 3: gradients of all ranks
    train = train.shard(rs.rank(), rs.size())  # ringsync 4: each rank its part of every batch
    test = test.shard(rs.rank(), rs.size())
    train, test = train.to(arguments.device), test.to(arguments.device)

    for epoch in range(arguments.epochs):
        mean_loss, accuracy = nn.MeanLoss(), nn.Accuracy()
        start_s = time.perf_counter()
        for x, y in train.batches(arguments.batch, shuffle=arguments.seed + epoch):
            optimizer.zero_grad()
            loss = nn.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            mean_loss.update(loss, y)
        elapsed_s = time.perf_counter() - start_s
        samples = rs.allreduce(mean_loss.totals(), op=rs.Sum)[1]
        with rs.no_grad():
            for x, y in test.batches(256):
                accuracy.update(net(x), y)
        report = (
            f"epoch {epoch + 1}: loss {rs.reduce_metric(mean_loss):.4f}, "
            f"test accuracy {rs.reduce_metric(accuracy):.2%}, {samples / elapsed_s:,.0f} samples/s"
        )
        if rs.size() > 1:
            stats = optimizer.take_stats()
            report += (
                f", overlap {stats.overlap:.0%} of "
                f"{stats.communication_ms / stats.steps:.2f} ms communication per step"
            )
        if rs.rank() == 0:
            print(report, flush=True)
    if arguments.save and rs.rank() == 0:
        np.savez(arguments.save, **net.state_dict())


if __name__ == "__main__":
    main()
