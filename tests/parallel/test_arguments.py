"""Bad arguments are one clear sentence before anything is exchanged."""

import numpy as np
import pytest

import ringsync as rs
from ringsync import errors, nn, optim


@pytest.fixture
def optimizer():
    rs.init()
    yield optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    rs.shutdown()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"codec": "fp16"}, "no codec is built yet"),
        ({"op": rs.Adasum}, "op=Adasum is not built yet. Use Average or Sum"),
        ({"op": rs.Max}, "op=Max is not built yet. Use Average or Sum"),
        ({"op": 4}, "op=4; a ReduceOp is expected. Use Average or Sum"),
        ({"op": [rs.Sum]}, "; a ReduceOp is expected. Use Average or Sum"),
        ({"weighted": "x"}, "weighted='x'; True or False is expected. Pass"),
        ({"weighted": 32}, "weighted=32; True or False is expected. Pass"),
        ({"accumulate_steps": 0}, "accumulate_steps=0; a whole number from 1"),
        ({"accumulate_steps": True}, "accumulate_steps=True; a whole number from 1"),
        ({"bucket_mib": -1.0}, "bucket_mib=-1.0; a number above 0"),
        ({"bucket_mib": True}, "bucket_mib=True; a number above 0"),
        ({"sync": "server"}, "not built yet. Leave it None, or pass Ring"),
    ],
)
def test_an_argument_that_cannot_be_used_says_so(optimizer, arguments, sentence):
    with pytest.raises(errors.ConfigError, match=r"\[DistributedOptimizer\].*") as caught:
        rs.DistributedOptimizer(optimizer, **arguments)
    assert sentence in str(caught.value)


def test_what_is_no_optimizer_is_named():
    rs.init()
    for given, named in [([], "a list"), (7, "an int"), (optim.SGD, "the class SGD")]:
        with pytest.raises(errors.ConfigError, match=rf"\] {named} is no optimizer"):
            rs.DistributedOptimizer(given)
    rs.shutdown()


def test_after_shutdown_the_way_out_is_named():
    rs.init()
    rs.shutdown()
    words = (
        r"calls are expected before shutdown\(\)\. Make them earlier, or call ringsync\.init\(\)"
    )
    with pytest.raises(errors.NotInitializedError, match=words):
        rs.DistributedOptimizer(optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1))


def test_the_wrapper_passes_learning_rate_and_state_on(optimizer):
    wrapped = rs.DistributedOptimizer(optimizer)
    wrapped.lr = 0.5
    assert optimizer.lr == 0.5
    wrapped.load_state_dict(wrapped.state_dict())
    assert wrapped.parameters is optimizer.parameters


@pytest.mark.parametrize(
    ("call", "arguments", "sentence"),
    [
        ("broadcast_parameters", [np.zeros(3)], "] an ndarray is no Parameter"),
        ("broadcast_parameters", None, "] None is no Parameter"),
        ("broadcast_parameters", {"a": 1}, ": 'a'] 'int' is no array that can be used"),
        ("broadcast_optimizer_state", None, "] None is no optimizer"),
        ("broadcast_optimizer_state", optim.SGD, "] the class SGD is no optimizer"),
        ("reduce_metric", 3.0, "] a float is no metric"),
        ("reduce_metric", 3, "] an int is no metric"),
        ("reduce_metric", nn.Accuracy, "] the class Accuracy is no metric"),
    ],
)
def test_what_a_call_cannot_use_is_named(call, arguments, sentence):
    rs.init()
    with pytest.raises(errors.ConfigError) as caught:
        getattr(rs, call)(arguments)
    assert str(caught.value).startswith(f"[{call}{sentence}")
    rs.shutdown()


@pytest.mark.parametrize("call", ["broadcast_parameters", "broadcast_optimizer_state"])
@pytest.mark.parametrize("root", [9, True])
def test_a_root_that_is_no_rank_is_told_by_the_call_that_was_made(call, root, optimizer):
    rs.init()
    given = optimizer if call == "broadcast_optimizer_state" else optimizer.parameters
    with pytest.raises(errors.ConfigError, match=rf"^\[{call}\] root={root} is no rank of this"):
        getattr(rs, call)(given, root=root)
    rs.shutdown()


@pytest.mark.parametrize("name", ["LocalSGD", "ParameterServer", "elastic"])
def test_a_planned_name_says_that_it_is_not_built_yet(name):
    with pytest.raises(AttributeError, match=f"'{name}' is planned but not built yet"):
        getattr(rs, name)
    assert not hasattr(rs, name)


def test_an_unknown_name_is_unknown():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = rs.nonsense
