"""Training among the ranks of a group: as in a world of those ranks alone."""

import numpy as np
import pytest

import ringsync as rs
from ringsync import nn, optim
from ringsync.errors import ConfigError

from .conftest import toy

TRAIN = """
net = models.mlp([8, 16, 4], seed={seed})
rs.broadcast_parameters(net, root={root}, group={group})
optimizer = rs.DistributedOptimizer(
    optim.SGD(net.parameters(), lr=0.1, momentum=0.9), bucket_mib=0.0001, group={group}
)
rs.broadcast_optimizer_state(optimizer, root={root}, group={group})
random = np.random.default_rng({place})
for step in range(5):
    optimizer.zero_grad()
    x, y = random.normal(size=(6, 8)).astype(np.float32), random.integers(0, 4, 6)
    nn.cross_entropy(net(x), y).backward()
    optimizer.step()
save(**parameters_of(net))
"""


def test_two_groups_train_side_by_side_as_two_worlds_would(on_ranks):
    grouped = on_ranks(
        4,
        "groups = [rs.new_group([0, 2]), rs.new_group([1, 3])]\n"
        "mine = groups[rs.rank() % 2]\n"
        + TRAIN.format(seed="rs.rank()", root="mine.ranks[1]", group="mine", place="mine.rank()"),
    )
    assert grouped.code == 0, grouped.output
    for which in range(2):
        alone = on_ranks(
            2,
            TRAIN.format(
                seed=f"{which} + 2 * rs.rank()", root="1", group="None", place="rs.rank()"
            ),
        )
        assert alone.code == 0, alone.output
        for rank in range(2):
            for name, values in alone.ranks[rank].items():
                np.testing.assert_array_equal(grouped.ranks[which + 2 * rank][name], values)


def test_parameters_that_differ_in_a_group_are_named_by_ranks_of_the_world(on_ranks):
    ran = on_ranks(
        3,
        "group = rs.new_group([1, 2])\n"
        + toy(
            """
if rs.rank() > 0:
    toy.all[1].data[0] += rs.rank()
    try:
        loss_of(0, 1).backward()
    except errors.MismatchError as error:
        save(message=str(error))
rs.barrier()
""",
            "({'group': group} if rs.rank() > 0 else {})",
        ).replace("optimizer = rs", "optimizer = rs.rank() and rs"),
    )
    assert ran.code == 0, ran.output
    assert len(ran.ranks) == 2
    for rank in ran.ranks:
        told = str(rank["message"])
        assert "differ between rank 2 and rank 1. Pass those of rank 1 to broadcast_" in told


def test_optimizers_of_the_world_are_counted_apart_from_those_of_groups(on_ranks):
    ran = on_ranks(
        3,
        """
group = rs.new_group([0, 1])
net = models.mlp([4, 3])
if rs.rank() < 2:
    rs.DistributedOptimizer(optim.SGD(models.mlp([4, 3]).parameters(), lr=0.1), group=group)
optimizer = rs.DistributedOptimizer(optim.SGD(net.parameters(), lr=0.1))
optimizer.step()
save(done=np.ones(1))
""",
    )
    assert ran.code == 0, ran.output
    assert len(ran.ranks) == 3


def test_an_optimizer_wants_an_open_group():
    rs.init()
    try:
        optimizer = optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
        with pytest.raises(
            ConfigError, match=r"\[DistributedOptimizer\] group=7 is no ProcessGroup"
        ):
            rs.DistributedOptimizer(optimizer, group=7)
    finally:
        rs.shutdown()
