"""Modules: names, sharing, modes, and what happens to state that does not fit."""

import numpy as np
import pytest

from ringsync import nn
from ringsync.autograd import Parameter
from ringsync.errors import ConfigError, MismatchError


class Branches(nn.Module):
    """Parts in every place where parts may be."""

    def __init__(self):
        self.stem = nn.Linear(2, 2)
        self.arms = [nn.Linear(2, 2), nn.Sequential(nn.ReLU(), nn.Linear(2, 1))]
        self.heads = {"a": nn.Linear(2, 3, bias=False)}
        self.scale = Parameter(np.ones(1, np.float32))
        self.note = "not a part"

    def reset(self, generator):
        self.scale.data.fill(generator.uniform())

    def forward(self, x):
        return self.heads["a"](self.stem(x)) * self.scale


class Tied(nn.Module):
    def __init__(self):
        self.first = nn.Linear(2, 2)
        self.second = nn.Linear(2, 2)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x))


def test_parameters_are_named_by_their_path_in_order_of_assignment():
    assert [one.name for one in Branches().parameters()] == [
        "stem.weight",
        "stem.bias",
        "arms.0.weight",
        "arms.0.bias",
        "arms.1.1.weight",
        "arms.1.1.bias",
        "heads.a.weight",
        "scale",
    ]


def test_asking_a_part_does_not_shorten_a_name():
    net = Branches()
    net.stem.parameters()
    assert net.stem.weight.name == "weight"
    net.parameters()
    net.stem.parameters()
    assert net.stem.weight.name == "stem.weight"


def test_a_shared_parameter_comes_once_and_gathers_both_gradients():
    net = Tied()
    assert [one.name for one in net.parameters()] == ["first.weight", "first.bias", "second.bias"]
    net(np.ones((1, 2), np.float32)).sum().backward()
    weight, x = net.first.weight.data, np.ones(2, np.float32)
    hidden = weight @ x
    expected = np.ones((2, 1)) * hidden + weight.sum(axis=0)[:, None] * x
    np.testing.assert_allclose(net.first.weight.grad, expected, rtol=1e-5)


def test_modes_reach_every_module():
    net = Branches()
    assert all(one.training for one in net.modules())
    assert net.eval() is net
    assert not any(one.training for one in net.modules())
    net.train()
    assert net.arms[1][0].training


def test_initialize_gives_layers_of_equal_shape_different_values():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    assert np.array_equal(net[0].weight.data, net[1].weight.data)
    assert net.initialize(0) is net
    assert not np.array_equal(net[0].weight.data, net[1].weight.data)


def test_a_module_with_parameters_must_say_how_to_draw_them():
    class Plain(nn.Module):
        def __init__(self):
            self.scale = Parameter(np.ones(1, np.float32))

    with pytest.raises(ConfigError, match=r"^\[nn\] Plain has parameters \['scale'\].*reset"):
        Plain().initialize(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("0.bias"), r"missing \['0.bias'\], unexpected \[\]"),
        (lambda state: state.update(extra=np.ones(1)), r"missing \[\], unexpected \['extra'\]"),
        (
            lambda state: state.update({"2.weight": np.ones((9, 4))}),
            r"'2.weight': shape \(9, 4\) was saved, the parameter has \(2, 4\)",
        ),
    ],
)
def test_a_state_that_does_not_fit_is_named_and_changes_nothing(change, message):
    net = nn.Sequential(nn.Linear(3, 4), nn.relu, nn.Linear(4, 2))
    state = {path: value + 1 for path, value in net.state_dict().items()}
    before = net.state_dict()
    change(state)
    with pytest.raises(MismatchError, match=rf"^\[load_state_dict\] {message}"):
        net.load_state_dict(state)
    assert all(np.array_equal(value, net.state_dict()[path]) for path, value in before.items())


@pytest.mark.parametrize(
    ("state", "kind"),
    [(None, "None"), ([], "a list"), (5, "an int"), (nn.Linear(3, 4), "a Linear")],
    ids=repr,
)
def test_what_is_no_state_is_told_with_what_is(state, kind):
    with pytest.raises(ConfigError) as told:
        nn.Linear(3, 4).load_state_dict(state)
    assert str(told.value) == (
        f"[load_state_dict] {kind} was given; a mapping of names to arrays is expected. Pass what "
        "state_dict() of such a Linear gave."
    )
