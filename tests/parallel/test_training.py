"""The same script with the same global batch trains alike on any number of ranks."""

import numpy as np
import pytest

MLP = """
train = data.digits().shard(rs.rank(), rs.size())
net = models.mlp([64, 128, 10], seed=1)
rs.broadcast_parameters(net, root=0)
optimizer = rs.DistributedOptimizer(optim.SGD(net.parameters(), lr=0.1, momentum=0.9))
steps = 0
for epoch in range(3):
    for x, y in train.batches(64, shuffle=epoch):
        if steps == 60:
            break
        optimizer.zero_grad()
        nn.cross_entropy(net(x.reshape(len(x), -1)), y).backward()
        optimizer.step()
        steps += 1
assert steps == 60
save(**parameters_of(net))
"""

CNN = """
train = data.digits().shard(rs.rank(), rs.size())
net = models.lenet(in_channels=1, image=8, classes=10, seed=2)
rs.broadcast_parameters(net, root=0)
optimizer = rs.DistributedOptimizer(optim.SGD(net.parameters(), lr=0.05, momentum=0.9))
for step, (x, y) in zip(range(20), train.batches(64, shuffle=0)):
    optimizer.zero_grad()
    nn.cross_entropy(net(x), y).backward()
    optimizer.step()
save(**parameters_of(net))
"""


def assert_bit_equal(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.tobytes() == other[name].tobytes(), name


def relative_difference(one, other):
    """Of all parameters together: single ones near zero have no meaningful relative error."""
    difference = sum(np.square(one[name] - other[name]).sum() for name in one)
    return float(np.sqrt(difference / sum(np.square(array).sum() for array in one.values())))


@pytest.mark.parametrize("script", [MLP, CNN], ids=["mlp after 60 steps", "cnn after 20 steps"])
def test_two_and_four_ranks_train_to_what_one_does(on_ranks, script):
    alone = on_ranks(1, script)
    assert alone.code == 0, alone.output
    for size in (2, 4):
        ran = on_ranks(size, script)
        assert ran.code == 0, ran.output
        for rank in ran.ranks:
            assert_bit_equal(rank, ran.ranks[0])
        assert relative_difference(alone.ranks[0], ran.ranks[0]) < 1e-5


@pytest.mark.parametrize("algorithm", ["direct", "ring"])
def test_two_equal_runs_are_bit_equal(on_ranks, algorithm):
    runs = [on_ranks(3, CNN, RINGSYNC_ALGORITHM=algorithm) for _ in range(2)]
    assert [run.code for run in runs] == [0, 0], runs[0].output
    assert_bit_equal(runs[0].ranks[0], runs[1].ranks[2])


def test_uneven_parts_of_a_batch_keep_ranks_bit_equal(on_ranks):
    ran = on_ranks(3, MLP)
    assert ran.code == 0, ran.output
    assert_bit_equal(ran.ranks[0], ran.ranks[1])
    assert_bit_equal(ran.ranks[0], ran.ranks[2])
