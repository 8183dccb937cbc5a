"""What the reducer promises: which gradients are reduced when, and what if ranks differ."""

import json

import numpy as np
import pytest

from .conftest import toy


def test_gradients_are_averages_when_backward_returns(on_ranks):
    ran = on_ranks(2, toy("loss_of(0, 1, 2, 3).backward()\nsave(g=toy.all[2].grad)"))
    assert ran.code == 0, ran.output
    for rank in ran.ranks:
        np.testing.assert_array_equal(rank["g"], np.full(1000, 1.5, np.float32))


def test_sum_adds_the_gradients(on_ranks):
    ran = on_ranks(
        2, toy("loss_of(0, 1, 2, 3).backward()\nsave(g=toy.all[2].grad)", "dict(op=rs.Sum)")
    )
    np.testing.assert_array_equal(ran.ranks[1]["g"], np.full(1000, 3.0, np.float32))


def test_a_parameter_unused_on_one_rank_gets_the_others_share(on_ranks):
    body = "loss_of(*([0, 1, 2, 3] if rs.rank() == 0 else [1, 3])).backward()\n"
    ran = on_ranks(2, toy(body + "save(unused=toy.all[0].grad, used=toy.all[1].grad)"))
    assert ran.code == 0, ran.output
    for rank in ran.ranks:
        np.testing.assert_array_equal(rank["unused"], np.full(1000, 0.5, np.float32))
        np.testing.assert_array_equal(rank["used"], np.full(1000, 1.5, np.float32))


def test_a_rank_without_any_backward_still_takes_part_in_step(on_ranks):
    body = "if rs.rank() == 0:\n    loss_of(0, 1, 2, 3).backward()\noptimizer.step()\n"
    ran = on_ranks(2, toy(body + "save(p=toy.all[0].data)"))
    assert ran.code == 0, ran.output
    for rank in ran.ranks:
        np.testing.assert_allclose(rank["p"], np.full(1000, 1 - 0.1 * 0.5, np.float32))


def test_a_parameter_unused_everywhere_has_no_gradient_and_is_not_trained(on_ranks):
    body = """
loss_of(1).backward()
optimizer.step()
save(none=toy.all[3].grad is None, p=toy.all[3].data, used=toy.all[1].data)
"""
    body = body.replace("optimizer.step", "optimizer._optimizer.weight_decay = 0.5\noptimizer.step")
    ran = on_ranks(2, toy(body))
    assert ran.code == 0, ran.output
    assert ran.ranks[0]["none"]
    np.testing.assert_array_equal(ran.ranks[0]["p"], np.full(1000, 4.0, np.float32))
    assert (ran.ranks[0]["used"] != 2.0).all()


def test_accumulated_passes_are_exchanged_once_and_add_up(on_ranks):
    body = """
loss_of(0, 1).backward()
before = toy.all[0].grad.copy()
loss_of(0, 2).backward()
save(before=before, after=toy.all[0].grad, first=toy.all[1].grad, second=toy.all[2].grad,
     steps=optimizer.take_stats().steps)
"""
    ran = on_ranks(2, toy(body, "dict(accumulate_steps=2)"))
    assert ran.code == 0, ran.output
    for rank, saved in enumerate(ran.ranks):
        np.testing.assert_array_equal(saved["before"], np.full(1000, rank + 1.0, np.float32))
        np.testing.assert_array_equal(saved["after"], np.full(1000, 3.0, np.float32))
        np.testing.assert_array_equal(saved["first"], np.full(1000, 1.5, np.float32))
        np.testing.assert_array_equal(saved["second"], np.full(1000, 1.5, np.float32))
        assert saved["steps"] == 1


def test_accumulation_equals_one_pass_over_the_whole_batch(on_ranks):
    script = """
train = data.digits().shard(rs.rank(), rs.size())
net = models.mlp([64, 32, 10], seed=1)
optimizer = rs.DistributedOptimizer(
    optim.SGD(net.parameters(), lr=0.1 / PARTS), accumulate_steps=PARTS)
for step, (x, y) in zip(range(10), train.batches(64, shuffle=0)):
    optimizer.zero_grad()
    for part in range(PARTS):
        rows = slice(part * len(x) // PARTS, (part + 1) * len(x) // PARTS)
        nn.cross_entropy(net(x[rows].reshape(-1, 64)), y[rows]).backward()
    optimizer.step()
save(**parameters_of(net))
"""
    whole, parts = (on_ranks(2, script.replace("PARTS", str(n))) for n in (1, 2))
    assert whole.code == parts.code == 0, parts.output
    for name, array in whole.ranks[0].items():
        np.testing.assert_allclose(array, parts.ranks[1][name], rtol=1e-4, atol=1e-6)


def test_a_gradient_that_the_user_assigned_is_exchanged_too(on_ranks):
    body = """
toy.all[0].grad = np.full(1000, 10.0 * rs.rank(), np.float32)
optimizer.step()
save(g=toy.all[0].grad)
"""
    ran = on_ranks(2, toy(body))
    np.testing.assert_array_equal(ran.ranks[0]["g"], np.full(1000, 5.0, np.float32))


def test_gradients_of_mixed_dtypes_and_odd_sizes_are_exchanged(on_ranks):
    body = """
from ringsync.autograd import Parameter
kinds = [((3, 5), np.float32), ((), np.float64), ((17,), np.float64), ((0, 4), np.float32)]
mixed = [Parameter(np.ones(*kind), name=f"m{i}") for i, kind in enumerate(kinds)]
other = rs.DistributedOptimizer(optim.SGD(mixed, lr=1.0), accumulate_steps=2)
(mixed[0].sum() * float(rs.rank()) + mixed[3].sum()).backward()
(mixed[1] + mixed[2].sum()).backward()
other.step()
save(a=mixed[0].grad, b=mixed[2].grad, shape=mixed[3].grad.shape)
"""
    ran = on_ranks(2, toy(body))
    assert ran.code == 0, ran.output
    np.testing.assert_array_equal(ran.ranks[0]["a"], np.full((3, 5), 0.5, np.float32))
    assert ran.ranks[0]["b"].dtype == np.float64
    assert tuple(ran.ranks[0]["shape"]) == (0, 4)


def test_broadcast_parameters_and_optimizer_state_make_equal_starts(on_ranks):
    script = """
net = models.mlp([64, 16, 10], seed=rs.rank())
inner = optim.SGD(
    net.parameters(),
    lr=0.1 * (rs.rank() + 1),
    momentum=0.4 * (rs.rank() + 1),
    weight_decay=0.1 * rs.rank(),
    nesterov=rs.rank() == 1,
)
for parameter in net.parameters():
    parameter.grad = np.full(parameter.shape, rs.rank() + 1, np.float32)
inner.step()
rs.broadcast_parameters(net, root=1)
rs.broadcast_optimizer_state(inner, root=1)
state = inner.state_dict()
save(**parameters_of(net), **{f"state {k}": np.asarray(v) for k, v in state.items()})
"""
    ran = on_ranks(2, script)
    assert ran.code == 0, ran.output
    assert ran.ranks[0].keys() == ran.ranks[1].keys()
    settings = {n: ran.ranks[0][f"state {n}"] for n in ("lr", "momentum", "weight_decay")}
    assert settings == {"lr": 0.2, "momentum": 0.8, "weight_decay": 0.1}
    assert ran.ranks[0]["state nesterov"]
    for name, array in ran.ranks[0].items():
        np.testing.assert_array_equal(array, ran.ranks[1][name])


UNLIKE = """
class Other(optim.SGD):
    pass

kind, shape, momentum = [(optim.SGD, 3, 0.9), CHANGED, (optim.SGD, 3, 0.9)][rs.rank()]
optimizer = kind(nn.Linear(shape, 2).parameters(), lr=0.1, momentum=momentum)
try:
    rs.broadcast_optimizer_state(optimizer)
except errors.MismatchError as error:
    save(said=str(error))
rs.barrier()
"""


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ("(Other, 3, 0.9)", "class SGD, the optimizer there is of class Other"),
        ("(optim.SGD, 4, 0.9)", "'velocity.0': shape (2, 3) was saved"),
        ("(optim.SGD, 3, 0.0)", "unexpected ['velocity.0', 'velocity.1']"),
        ("(optim.SGD, 3, 0.0)", "momentum=0.9 was saved, this one has momentum=0.0; missing []"),
    ],
)
def test_an_optimizer_that_cannot_take_the_state_is_named_on_every_rank(on_ranks, changed, reason):
    ran = on_ranks(3, UNLIKE.replace("CHANGED", changed))
    assert ran.code == 0, ran.output
    for rank in range(3):
        said = str(ran.ranks[rank]["said"])
        place = "[broadcast_optimizer_state] rank 1 cannot take the state of rank 0 ("
        assert said.startswith(place)
        assert reason in said
        assert said.endswith("). Make the optimizer alike on all ranks.")


WRAPPED = """
class Other(optim.SGD):
    pass

net = nn.Linear(3, 2)
kind = [optim.SGD, ON_RANK_1][rs.rank()]
bare = kind(net.parameters(), lr=0.1 + rs.rank(), momentum=0.9)
wrapped = rs.DistributedOptimizer(bare)
said = ""
try:
    rs.broadcast_optimizer_state(PASSED)
except errors.MismatchError as error:
    said = str(error)
rs.broadcast_parameters(net)
nn.cross_entropy(net(np.ones((1, 3), np.float32)), np.zeros(1, np.int64)).backward()
wrapped.step()
save(said=said, lr=wrapped.lr)
"""


def test_wrapped_optimizers_of_unlike_classes_are_told(on_ranks):
    ran = on_ranks(2, WRAPPED.replace("ON_RANK_1", "Other").replace("PASSED", "wrapped"))
    assert ran.code == 0, ran.output
    for rank in ran.ranks:
        assert "class SGD, the optimizer there is of class Other" in str(rank["said"])


@pytest.mark.parametrize("passed", ["wrapped", "[wrapped, bare][rs.rank()]"])
def test_an_optimizer_takes_the_state_of_one_of_its_class_wrapped_or_not(on_ranks, passed):
    ran = on_ranks(2, WRAPPED.replace("ON_RANK_1", "optim.SGD").replace("PASSED", passed))
    assert ran.code == 0, ran.output
    for rank in ran.ranks:
        assert rank["said"] == ""
        assert rank["lr"] == pytest.approx(0.1)


def test_buckets_are_submitted_while_backward_computes(on_ranks, tmp_path):
    script = f"""
net = models.mlp([64, 256, 256, 256, 10], seed=0)
optimizer = rs.DistributedOptimizer(optim.SGD(net.parameters(), lr=0.1))
rs.start_timeline({str(tmp_path / "timeline")!r})
for _ in range(3):
    optimizer.zero_grad()
    nn.cross_entropy(net(np.ones((512, 64), np.float32)), np.zeros(512, np.int64)).backward()
    optimizer.step()
rs.stop_timeline()
"""
    ran = on_ranks(2, script)
    assert ran.code == 0, ran.output
    for rank in range(2):
        file = json.loads((tmp_path / "timeline" / f"rank.{rank:02d}.json").read_text())
        train = [e for e in file["events"] if e["lane"] == "train"]
        names = {e["name"] for e in file["events"]}
        assert {"forward", "backward", "submit", "wait", "step", "agree", "run"} <= names
        last = [e for e in train if e["name"] == "backward"][-1]
        inside = [
            e
            for e in train
            if e["name"] == "submit"
            and last["start_ns"] <= e["start_ns"]
            and e["end_ns"] <= last["end_ns"]
        ]
        assert len(inside) >= 3


def test_a_world_of_one_leaves_the_optimizer_alone(on_ranks):
    body = """
loss_of(0).backward()
optimizer.step()
save(p=toy.all[0].data, n=optimizer.take_stats().steps)
"""
    ran = on_ranks(1, toy(body))
    np.testing.assert_allclose(ran.ranks[0]["p"], np.full(1000, 0.9, np.float32))
    assert ran.ranks[0]["n"] == 0
