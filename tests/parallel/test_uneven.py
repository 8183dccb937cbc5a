"""Ranks with unlike numbers of batches, or batches of unlike length."""

import numpy as np

# Rank 1 has three batches, the others five; all end with what has seen most.
JOINING = """
train = data.digits()
net = models.mlp([64, 32, 10], seed=1)
optimizer = rs.DistributedOptimizer(optim.SGD(net.parameters(), lr=0.1, momentum=0.9))
turns = 3 if rs.rank() == 1 else 5
for turn in range(turns):
    x, y = train.arrays()
    x, y = x[turn::50][:8 * (rs.rank() + 1)], y[turn::50][:8 * (rs.rank() + 1)]
    loss = nn.cross_entropy(net(x.reshape(len(x), -1)), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
own = parameters_of(net)["0.weight"].copy()
last = rs.join()
rs.broadcast_parameters(net, root=last)
save(last=last, own=own, common=parameters_of(net)["0.weight"])
"""


def test_ranks_that_join_early_leave_training_to_the_others(on_ranks):
    ran = on_ranks(3, JOINING)
    assert ran.code == 0, ran.output
    first, early, last = ran.ranks
    assert first["last"] == early["last"] == last["last"] != 1
    np.testing.assert_array_equal(first["own"], last["own"])
    assert (early["own"] != first["own"]).any()
    for rank in ran.ranks:
        np.testing.assert_array_equal(rank["common"], first["own"])


def test_averages_still_divide_by_all_ranks(on_ranks):
    script = """
from ringsync.autograd import Parameter
parameter = Parameter(np.zeros(1000, np.float32), name="p")
optimizer = rs.DistributedOptimizer(optim.SGD([parameter], lr=1.0))
for turn in range(1 + rs.rank()):
    optimizer.zero_grad()
    (parameter * float(rs.rank() + 1)).sum().backward()
    optimizer.step()
rs.join()
save(p=parameter.data)
"""
    ran = on_ranks(2, script)
    assert ran.code == 0, ran.output
    np.testing.assert_allclose(ran.ranks[0]["p"], -1.5)
    np.testing.assert_allclose(ran.ranks[1]["p"], -1.5 - 1.0)
