"""Batches of unlike length: the step is that of one rank on all of them."""

import numpy as np
import pytest

from .conftest import toy

# 60 samples a step; CUTS are where the ranks' parts of them begin and end.
TRAINING = """
x, y = data.digits().arrays()
x = x.reshape(len(x), -1).astype(np.DTYPE)
cuts = CUTS
net = models.mlp([64, 32, 10], seed=1)
for parameter in net.parameters():
    parameter.data = parameter.data.astype(np.DTYPE)
optimizer = rs.DistributedOptimizer(
    optim.SGD(net.parameters(), lr=0.3, momentum=0.9), weighted=True, accumulate_steps=1)
for turn in range(6):
    begin, end = (60 * turn + cut for cut in cuts[rs.rank():rs.rank() + 2])
    optimizer.zero_grad()
    if end > begin:
        nn.cross_entropy(net(x[begin:end]), y[begin:end]).backward()
    optimizer.step(weight=[end - begin, np.array(end - begin)][turn % 2])
save(**parameters_of(net))
"""


def trained(on_ranks, cuts, dtype):
    ran = on_ranks(len(cuts) - 1, TRAINING.replace("CUTS", repr(cuts)).replace("DTYPE", dtype))
    assert ran.code == 0, ran.output
    return ran.ranks


@pytest.mark.parametrize(("dtype", "within"), [("float64", 1e-12), ("float32", 1e-4)])
def test_uneven_batches_train_as_one_rank_on_all_of_them(on_ranks, dtype, within):
    [alone] = trained(on_ranks, [0, 60], dtype)
    for cuts in ([0, 1, 60], [0, 7, 7, 60], [0, 33, 58, 60]):
        ranks = trained(on_ranks, cuts, dtype)
        for name, expected in alone.items():
            np.testing.assert_allclose(ranks[0][name], expected, rtol=within, atol=within)
            for rank in ranks[1:]:
                np.testing.assert_array_equal(rank[name], ranks[0][name])


def test_gradients_are_the_ranks_own_until_step(on_ranks):
    body = """
loss_of(0, 1).backward()
before = toy.all[0].grad.copy()
optimizer.step(weight=1 + 2 * rs.rank())
save(before=before, after=toy.all[0].grad, none=toy.all[3].grad is None)
"""
    ran = on_ranks(2, toy(body, "dict(weighted=True)"))
    assert ran.code == 0, ran.output
    for rank, saved in enumerate(ran.ranks):
        assert (saved["before"] == rank + 1).all()
        assert (saved["after"] == (1 * 1 + 3 * 2) / 4).all()
        assert saved["none"]


def test_accumulated_gradients_have_one_weight(on_ranks):
    body = """
loss_of(0).backward()
loss_of(0).backward()
optimizer.step(weight=[3, 1][rs.rank()])
save(g=toy.all[0].grad)
"""
    ran = on_ranks(2, toy(body, "dict(weighted=True, accumulate_steps=2)"))
    assert ran.code == 0, ran.output
    assert (ran.ranks[0]["g"] == 2 * (3 * 1 + 1 * 2) / 4).all()


def test_what_weighs_nothing_may_be_anything(on_ranks):
    body = """
if rs.rank() == 0:
    loss_of(0).backward()
else:
    (loss_of(0, 2) * float("nan")).backward()
optimizer.step(weight=1 - rs.rank())
save(g=toy.all[0].grad, none=toy.all[2].grad is None)
"""
    ran = on_ranks(2, toy(body, "dict(weighted=True)"))
    assert ran.code == 0, ran.output
    for rank in ran.ranks:
        assert (rank["g"] == 1).all()
        assert rank["none"]


def test_a_group_weighs_its_own_ranks(on_ranks):
    script = """
from ringsync.autograd import Parameter
group = rs.new_group([1, 2])
parameter = Parameter(np.ones(1000, np.float32), name="p")
text = ""
if rs.rank() in group.ranks:
    optimizer = rs.DistributedOptimizer(optim.SGD([parameter], lr=0.1), group=group, weighted=True)
    (parameter * float(rs.rank())).sum().backward()
    try:
        optimizer.step(weight=-1 if rs.rank() == 2 else 1)
    except errors.ConfigError as error:
        text = str(error)
    optimizer.step(weight=rs.rank())
rs.barrier()
save(p=parameter.data, text=text)
"""
    ran = on_ranks(3, script)
    assert ran.code == 0, ran.output
    assert (ran.ranks[0]["p"] == 1).all()
    for rank in ran.ranks[1:]:
        np.testing.assert_allclose(rank["p"], 1 - 0.1 * 5 / 3, rtol=1e-6)
        assert str(rank["text"]).startswith("[step] rank 2 gave weight=-1.0; a finite number")


def test_ranks_that_have_joined_weigh_nothing(on_ranks):
    body = """
for turn in range(1 + 2 * (rs.rank() != 1)):
    optimizer.zero_grad()
    loss_of(0).backward()
    optimizer.step(weight=rs.rank() + 1)
    g = toy.all[0].grad.copy()
save(g=g, last=rs.join())
"""
    ran = on_ranks(3, toy(body, "dict(weighted=True)"))
    assert ran.code == 0, ran.output
    np.testing.assert_allclose(ran.ranks[1]["g"], (1 + 4 + 9) / 6, rtol=1e-6)
    for rank in (0, 2):
        np.testing.assert_allclose(ran.ranks[rank]["g"], (1 + 9) / 4, rtol=1e-6)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (
            "[1, -3.5, 2]",
            "[step] rank 1 gave weight=-3.5; a finite number from 0 is expected on every rank. "
            "Pass step(weight=len(x)), how many samples this rank's gradients are the mean of.",
        ),
        ("[1, 2, float('nan')]", "[step] rank 2 gave weight=nan; a finite number"),
        ("[float('inf'), 2, 10**400]", "[step] rank 0 gave weight=inf, rank 2 gave weight=inf; a"),
        (
            "['many', 1, None]",
            "[step] rank 0 gave something that is no number, rank 2 gave no weight; a finite",
        ),
        (
            "[True, 1, np.array(False)]",
            "[step] rank 0 gave something that is no number, rank 2 gave something that is no num",
        ),
        (
            "[0, 0.0, np.array(0)]",
            "[step] the weights of all ranks add up to 0.0; a finite number above",
        ),
        ("[1e308, 1e308, 1]", "[step] the weights of all ranks add up to inf; a finite number"),
    ],
)
def test_what_is_no_weight_is_said_on_every_rank_and_nothing_is_updated(on_ranks, weights, said):
    body = f"""
loss_of(0).backward()
try:
    optimizer.step(weight={weights}[rs.rank()])
except errors.ConfigError as error:
    text = str(error)
untouched = (toy.all[0].data == 1).all()
optimizer.step(weight=1)
save(text=text, untouched=untouched, g=toy.all[0].grad)
"""
    ran = on_ranks(3, toy(body, "dict(weighted=True)"))
    assert ran.code == 0, ran.output
    for rank in ran.ranks:
        assert str(rank["text"]).startswith(said)
        assert rank["untouched"]
        np.testing.assert_allclose(rank["g"], 2.0, rtol=1e-6)


def test_weights_on_some_ranks_only_are_a_mismatch_on_every_rank(on_ranks):
    body = """
try:
    if rs.rank() == 0:
        loss_of(0).backward()
    optimizer.step(weight=1 if rs.rank() == 1 else None)
except errors.MismatchError as error:
    save(text=str(error))
rs.barrier()
"""
    ran = on_ranks(3, toy(body, "dict(weighted=rs.rank() == 1)"))
    assert ran.code == 0, ran.output
    assert [str(rank["text"]) for rank in ran.ranks] == [
        "[gradients.0] rank 1 has weighted=True, rank 0 has weighted=False. Make the "
        "DistributedOptimizer alike on all ranks."
    ] * 3


@pytest.mark.parametrize("size", [1, 2])
def test_a_weight_that_comes_too_late_is_refused(on_ranks, size):
    body = """
loss_of(0).backward()
try:
    optimizer.step(weight=3)
except errors.ConfigError as error:
    text = str(error)
optimizer.step()
save(text=text, p=toy.all[0].data)
"""
    ran = on_ranks(size, toy(body))
    assert ran.code == 0, ran.output
    for rank in ran.ranks:
        assert str(rank["text"]) == (
            "[step] weight=3 comes too late: gradients are exchanged during backward. Make the "
            "optimizer with DistributedOptimizer(..., weighted=True), which holds them back until "
            "step."
        )
        np.testing.assert_allclose(rank["p"], 1 - 0.1 * (size + 1) / 2)


def test_one_rank_alone_is_held_to_the_same(on_ranks):
    body = """
loss_of(0).backward()
texts = []
for weight in (None, 0, -1):
    try:
        optimizer.step(weight=weight)
    except errors.ConfigError as error:
        texts.append(str(error))
optimizer.step(weight=17)
try:
    rs.DistributedOptimizer(optim.SGD(toy.all, lr=0.1), op=rs.Sum, weighted=True)
except errors.ConfigError as error:
    texts.append(str(error))
save(texts=texts, p=toy.all[0].data)
"""
    ran = on_ranks(1, toy(body, "dict(weighted=True)"))
    assert ran.code == 0, ran.output
    [alone] = ran.ranks
    assert "rank 0 gave no weight" in alone["texts"][0]
    assert "add up to 0.0" in alone["texts"][1]
    assert "rank 0 gave weight=-1.0" in alone["texts"][2]
    assert "weighted=True with op=Sum; weights make an average" in alone["texts"][3]
    np.testing.assert_allclose(alone["p"], 0.9)
