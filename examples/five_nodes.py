"""Five ranks, one step of gradient descent: sums, means, and what "synchronising" means.

Run it with `ringsyncrun -np 5 python examples/five_nodes.py`. Rank i (from 1 to 5 here) wants theta
near i; with learning rate 0.1 one step can be followed by hand, and the script checks itself.
"""

import numpy as np

import ringsync as rs

LEARNING_RATE = 0.1
RANKS = 5


def shared_vector(op: rs.ReduceOp) -> float:
    """Loss after one step on a common vector, of which rank i's loss sees coordinate i only."""
    targets = np.arange(1.0, 6.0)
    theta = np.zeros(5)
    gradient = np.zeros(5)
    mine = rs.rank()
    gradient[mine] = 2 * (theta[mine] - targets[mine])
    theta -= LEARNING_RATE * rs.allreduce(gradient, op=op)
    return float(((theta - targets) ** 2).sum())


def shared_scalar(steps: int) -> list[float]:
    """Losses after each step on a common number, which every rank wants near its own target."""
    target = rs.rank() + 1.0
    theta = 0.0
    losses = []
    for _ in range(steps):
        gradient = np.array([2 * (theta - target)])
        theta -= LEARNING_RATE * rs.allreduce(gradient, op=rs.Average).item()
        losses.append(rs.allreduce(np.array([(theta - target) ** 2]), op=rs.Sum).item())
    return losses


def main() -> None:
    """Print the worked example and check it."""
    rs.init()
    if rs.size() != RANKS:
        raise SystemExit(f"five ranks are needed, not {rs.size()}: ringsyncrun -np 5 ...")
    summed = shared_vector(rs.Sum)
    averaged = shared_vector(rs.Average)
    scalar = shared_scalar(3)
    np.testing.assert_allclose([summed, averaged], [35.2, 50.688])
    np.testing.assert_allclose(scalar, [38.8, 28.432, 21.79648])
    if rs.rank() == 0:
        print(f"vector, gradients summed:   loss 55 -> {summed:.6g}")
        print(f"vector, gradients averaged: loss 55 -> {averaged:.6g}")
        print("scalar, gradients averaged: loss 55 -> " + " -> ".join(f"{x:.6g}" for x in scalar))


if __name__ == "__main__":
    main()
