"""Every layer that `nn` lists: gradients, dtypes, state, seeds, representation."""

import numpy as np
import pytest

from ringsync import nn
from ringsync.autograd import Tensor
from ringsync.errors import ConfigError, MismatchError

# How each layer is made, and the shape of an input for it.
LAYERS = {
    "Conv2d": (lambda: nn.Conv2d(2, 3, 3, stride=2, pad=1), (2, 2, 5, 5)),
    "Flatten": (nn.Flatten, (2, 3, 2)),
    "Linear": (lambda: nn.Linear(4, 3), (2, 4)),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), (2, 2, 4, 4)),
    "ReLU": (nn.ReLU, (2, 3)),
    "Sequential": (lambda: nn.Sequential(nn.Linear(3, 4), nn.relu, nn.Linear(4, 2)), (2, 3)),
}
EACH = pytest.mark.parametrize("name", LAYERS)


def made(name):
    make, shape = LAYERS[name]
    x = np.random.default_rng(1).standard_normal(shape)
    return make(), x


def test_every_layer_of_nn_is_tested():
    listed = {
        name
        for name in nn.__all__
        if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module)
    }
    assert listed - {"Module"} == LAYERS.keys()


@EACH
def test_gradients_are_those_of_central_differences(name):
    layer, x = made(name)
    leaves = [Tensor(x, requires_grad=True), *layer.parameters()]
    generator, eps = np.random.default_rng(2), 1e-6
    for one in leaves[1:]:
        # Away from 0, where relu has a kink.
        one.data = one.data.astype(np.float64) + 0.1
    ways = [generator.standard_normal(one.shape) for one in leaves]

    def moved(distance):
        for one, way in zip(leaves, ways, strict=True):
            one.data = one.data + distance * way
        return layer(leaves[0])

    output = moved(0)
    weights = generator.standard_normal(output.shape)
    output.backward(weights)
    slope = sum(float((one.grad * way).sum()) for one, way in zip(leaves, ways, strict=True))
    above, below = moved(eps).data, moved(-2 * eps).data
    assert slope == pytest.approx(float(((above - below) * weights).sum()) / (2 * eps), rel=1e-6)


@EACH
def test_float32_stays_float32_forth_and_back(name):
    layer, x = made(name)
    pictures = Tensor(x.astype(np.float32), requires_grad=True)
    output = layer(pictures)
    output.sum().backward()
    assert output.dtype == np.float32
    gradients = [pictures.grad, *(one.grad for one in layer.parameters())]
    assert {one.dtype for one in gradients} == {np.dtype(np.float32)}


@EACH
def test_state_comes_back_after_a_round_trip(name):
    layer, x = made(name)
    saved = layer.state_dict()
    before = layer(x.astype(np.float32)).data
    for one in layer.parameters():
        one.data += 1
    homes = [one.data for one in layer.parameters()]
    layer.load_state_dict(saved)
    np.testing.assert_array_equal(layer(x.astype(np.float32)).data, before)
    assert all(one.data is home for one, home in zip(layer.parameters(), homes, strict=True))
    assert not any(np.shares_memory(saved[one.name], one.data) for one in layer.parameters())


@EACH
def test_equal_seeds_give_equal_layers_and_other_seeds_do_not(name):
    (one, _), (two, _) = made(name), made(name)
    one.initialize(7)
    two.initialize(7)
    for path, value in one.state_dict().items():
        np.testing.assert_array_equal(value, two.state_dict()[path])
    two.initialize(8)
    for path, value in one.state_dict().items():
        assert path.endswith("bias") or not np.array_equal(value, two.state_dict()[path])


@EACH
def test_an_empty_batch_gives_an_empty_result_and_zero_gradients(name):
    layer, x = made(name)
    output = layer(x[:0].astype(np.float32))
    assert len(output) == 0
    if layer.parameters():
        output.sum().backward()
        assert not any(one.grad.any() for one in layer.parameters())


def test_repr_is_how_a_layer_is_written():
    assert repr(nn.Conv2d(1, 6, 5, pad=2)) == "Conv2d(1, 6, 5, stride=1, pad=2)"
    assert repr(nn.Linear(4, 2, bias=False)) == "Linear(4, 2, bias=False)"
    assert repr(nn.MaxPool2d(2)) == "MaxPool2d(2, stride=2, pad=0)"


def test_a_network_shows_its_layers_and_counts():
    net = nn.Sequential(nn.Linear(64, 32), nn.relu, nn.Sequential(nn.ReLU(), nn.Linear(32, 10)))
    assert repr(net).splitlines() == [
        "Sequential(",
        "  (0) Linear(64, 32): 2,080 parameters",
        "  (1) relu",
        "  (2) Sequential(",
        "    (0) ReLU()",
        "    (1) Linear(32, 10): 330 parameters",
        "  ): 330 parameters",
        "): 2,410 parameters",
    ]
    assert len(net) == 3
    assert net[1] is nn.relu
    assert next(iter(net)) is net[0]


def test_starting_weights_stay_within_he_s_bound():
    weight = nn.Conv2d(3, 20, 5, seed=3).weight.data
    bound = np.sqrt(6 / 75)
    assert 0.95 * bound < np.abs(weight).max() <= bound
    assert abs(weight.mean()) < 0.1 * bound


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.Linear(4, 2)(np.ones((3, 5), np.float32)), r"\[linear\].*\(3, 5\).*\(2, 4\)"),
        (lambda: nn.Linear(4, 2)(np.ones((3, 4))), r"\[linear\] input is float64.*astype\(float32"),
        (lambda: nn.Conv2d(1, 2, 3)(np.ones((2, 8, 8), np.float32)), r"\[conv2d\].*\(2, 8, 8\)"),
        (lambda: nn.Conv2d(1, 2, 3)(np.ones((2, 1, 8, 8))), r"\[conv2d\] input is float64"),
        (lambda: nn.Conv2d(1, 2, 9)(np.ones((1, 1, 8, 8), np.float32)), r"kernel of \(9, 9\)"),
        (
            lambda: nn.MaxPool2d(9)(np.ones((1, 1, 8, 8), np.float32)),
            r"\[max_pool2d\] .* of 9",
        ),
    ],
)
def test_inputs_that_do_not_fit_are_named(call, message):
    with pytest.raises(MismatchError, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: nn.Conv2d(0, 1, 3),
        lambda: nn.Conv2d(1, 1, 3, pad=-1),
        lambda: nn.MaxPool2d(2, stride=0),
        lambda: nn.MaxPool2d(2, pad=2),
        lambda: nn.Linear(0, 3),
    ],
)
def test_sizes_that_make_no_layer_are_refused(call):
    with pytest.raises(ConfigError, match=r"^\[(conv2d|max_pool2d|linear)\] .*; expected"):
        call()
