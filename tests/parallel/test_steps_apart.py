"""Ranks that have not made the same updates are told so, and none of unlike steps are summed."""

import numpy as np
import pytest

from .conftest import toy

# What one rank does wrong where both are told of a backward pass too many: it goes on with the
# step, which the other one drops.
FAULT = """
def swallow(step):
    loss_of(0, 1, 2, 3).backward()
    try:
        loss_of(0, 1, 2, 3).backward()
        raise AssertionError("the pass was not refused")
    except errors.ConfigError:
        if rs.rank() == 1:
            step()
    optimizer.zero_grad()
"""


def test_a_step_that_one_rank_alone_makes_is_told_on_both_before_the_next(on_ranks):
    body = """
for _ in range(2):
    loss_of(0, 1).backward()
    optimizer.step()
    optimizer.zero_grad()
swallow(optimizer.step)
try:
    loss_of(0, 1, 2, 3).backward()
except errors.MismatchError as error:
    save(text=str(error), total=rs.allreduce(np.ones(1), op=rs.Sum))
"""
    ran = on_ranks(2, toy(FAULT + body))
    assert ran.code == 0, ran.output
    told = "[allreduce] 'gradients.0.0': rank 1 is at step 3, rank 0 at step 2. Let all ranks make"
    for rank in ran.ranks:
        assert str(rank["text"]).startswith(told)
        assert rank["total"] == 2


NEW = "rs.new_group([0, 1])"


@pytest.mark.parametrize(
    ("own", "made_alike_in"),
    [("None", "None"), (NEW, "own"), (NEW, "None"), (NEW, NEW), ("None", NEW)],
)
def test_ranks_that_have_been_made_alike_again_go_on(on_ranks, own, made_alike_in):
    body = f"""
swallow(optimizer.step)
rs.broadcast_parameters(toy.all, group={made_alike_in})
for _ in range(2):
    loss_of(0, 1, 2, 3).backward()
    optimizer.step()
    optimizer.zero_grad()
save(value=toy.all[0].data)
"""
    options = f"{{'group': (own := {own})}}"
    ran = on_ranks(2, toy(FAULT + body, options))
    assert ran.code == 0, ran.output
    for rank in ran.ranks:
        np.testing.assert_allclose(rank["value"], 1 - 2 * 0.15, rtol=1e-6)


def test_ranks_that_a_broadcast_of_a_state_has_failed_on_are_at_one_step(on_ranks):
    body = """
bare = optim.SGD(toy.all, lr=0.1, momentum=0.9 * (rs.rank() == 0))
del optimizer
optimizer = rs.DistributedOptimizer(bare)
class Own:  # what it does when it loads is not known here
    state_dict = optimizer.state_dict
    load_state_dict = optimizer.load_state_dict
def step():
    loss_of(0).backward()
    optimizer.step()
    optimizer.zero_grad()
step()
for given in [optimizer, Own]:
    try:
        rs.broadcast_optimizer_state(given if given is optimizer else given())
        raise AssertionError("rank 1 has no momentum")
    except errors.MismatchError:
        step()
save(done=np.ones(1))
"""
    ran = on_ranks(2, toy(body))
    assert ran.code == 0, ran.output
    assert len(ran.ranks) == 2


def test_groups_in_which_ranks_were_made_alike_are_not_kept(on_ranks):
    body = """
import sys
kept = []
for _ in range(2):
    group = rs.new_group([0, 1])
    before = sys.getrefcount(group)
    rs.broadcast_parameters(toy.all, group=group)
    rs.broadcast_optimizer_state(optimizer, group=group)
    kept.append(sys.getrefcount(group) - before)
    group.close()
save(kept=np.array(kept))
"""
    ran = on_ranks(2, toy(body))
    assert ran.code == 0, ran.output
    for rank in ran.ranks:
        assert rank["kept"].tolist() == [0, 0]


# Not that one's own `zero_grad` of a step that an error has interrupted comes first.
LOADS = {
    "after the step is forgotten": "optimizer.zero_grad()\noptimizer.load_state_dict(saved)",
    "before the step is forgotten": "optimizer.load_state_dict(saved)\noptimizer.zero_grad()",
    "by a broadcast, of the bare optimizer": "rs.broadcast_optimizer_state(bare)",
}


@pytest.mark.parametrize("load", LOADS)
def test_ranks_that_have_all_loaded_one_state_go_on(on_ranks, load):
    body = f"""
bare = optimizer._optimizer
saved = optimizer.state_dict()
swallow(optimizer.step)
{LOADS[load]}
for parameter, value in zip(toy.all, [1, 2, 3, 4]):
    parameter.data[...] = value
for _ in range(2):
    loss_of(0, 1, 2, 3).backward()
    optimizer.step()
    optimizer.zero_grad()
save(value=toy.all[0].data)
"""
    ran = on_ranks(2, toy(FAULT + body))
    assert ran.code == 0, ran.output
    for rank in ran.ranks:
        np.testing.assert_allclose(rank["value"], 1 - 2 * 0.15, rtol=1e-6)


def test_a_state_that_is_loaded_before_an_interrupted_exchange_is_ended_does_not_spoil_it(on_ranks):
    body = """
step = lambda: (loss_of(0, 1, 2, 3).backward(), optimizer.step(), optimizer.zero_grad())
step()
saved = optimizer.state_dict()
if rs.rank() == 0:
    reducer = type(optimizer._reducer)
    submit = reducer._submit
    def interrupted(self, bucket):
        raise KeyboardInterrupt  # before anything of this rank has travelled
    reducer._submit = interrupted
    try:
        loss_of(0, 1, 2, 3).backward()
        raise AssertionError("nothing was interrupted")
    except KeyboardInterrupt:
        reducer._submit = submit
    optimizer.load_state_dict(saved)
    optimizer.zero_grad()
else:
    step()  # its own part of the gradients and zeros
    optimizer.load_state_dict(saved)
step()
save(done=np.ones(1))
"""
    ran = on_ranks(2, toy(body))
    assert ran.code == 0, ran.output
    assert len(ran.ranks) == 2


def test_a_state_that_one_rank_alone_loads_is_told_with_what_to_do(on_ranks):
    body = """
loss_of(0).backward()
optimizer.step()
optimizer.zero_grad()
if rs.rank() == 1:
    optimizer.load_state_dict(optimizer.state_dict())
try:
    loss_of(0).backward()
except errors.MismatchError as error:
    save(text=str(error))
"""
    ran = on_ranks(2, toy(body))
    assert ran.code == 0, ran.output
    for rank in ran.ranks:
        assert "rank 1 is at step 0, rank 0 at step 1. " in str(rank["text"])
        assert "load a state on all or none" in str(rank["text"])


@pytest.mark.parametrize("rank", ["rank 1 alone", "both ranks, of which one goes on"])
def test_weighted_gradients_of_unlike_steps_are_told_before_they_are_summed(on_ranks, rank):
    alone = """
loss_of(0).backward()
if rs.rank() == 1:  # has forgotten its step, and takes the refusal for no more than that
    try:
        loss_of(0).backward()
    except errors.ConfigError:
        pass
"""
    both = """
loss_of(0).backward()
try:
    loss_of(0).backward()
except errors.ConfigError:
    if rs.rank() == 0:
        optimizer.zero_grad()
        loss_of(0).backward()
"""
    body = """
try:
    optimizer.step(weight=1)
except errors.MismatchError as error:
    text = str(error)
optimizer.zero_grad()
loss_of(0).backward()
optimizer.step(weight=1)
save(text=text, value=toy.all[0].data)
"""
    fault = alone if rank == "rank 1 alone" else both
    ran = on_ranks(2, toy(fault + body, "dict(weighted=True)"))
    assert ran.code == 0, ran.output
    for one in ran.ranks:
        assert "rank 1 had 1 backward passes refused before this step, rank 0 0" in str(one["text"])
        np.testing.assert_allclose(one["value"], 1 - 0.15, rtol=1e-6)


QUIET = {
    "all ranks drop a pass": "loss_of(0).backward(); optimizer.zero_grad()",
    "a state is loaded": "optimizer.load_state_dict(optimizer.state_dict())",
    "parameters are wrapped anew": (
        "del optimizer; optimizer = rs.DistributedOptimizer(optim.SGD(toy.all, lr=0.1))"
    ),
    "one rank has made fewer steps, and joined": """
if rs.rank() == 0:
    for _ in range(3):
        loss_of(0, 1).backward()
        optimizer.step()
        optimizer.zero_grad()
rs.broadcast_parameters(toy.all, root=rs.join())
""",
    "ranks have joined, and parameters stay": """
if rs.rank() == 0:
    loss_of(0).backward()
    optimizer.step()
    optimizer.zero_grad()
rs.join()
""",
}


@pytest.mark.parametrize("what", QUIET)
def test_nothing_is_told_where(on_ranks, what):
    step = "loss_of(0, 1).backward()\noptimizer.step()\noptimizer.zero_grad()\n"
    ran = on_ranks(2, toy(f"{step}{QUIET[what]}\n{step}{step}save(done=np.ones(1))"))
    assert ran.code == 0, ran.output
    assert len(ran.ranks) == 2
