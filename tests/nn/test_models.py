"""The ready-made networks, and that all parts together learn."""

import numpy as np
import pytest

from ringsync import data, models, nn, optim
from ringsync.autograd import no_grad
from ringsync.errors import ConfigError


def test_lenet_for_mnist_has_the_size_of_the_original_article():
    net = models.lenet(image=28)
    assert sum(one.data.size for one in net.parameters()) == 1_518_986
    assert net(np.zeros((2, 1, 28, 28), np.float32)).shape == (2, 10)


def test_mlp_puts_relu_between_its_layers_only():
    net = models.mlp([4, 3, 2])
    assert [type(one) for one in net] == [nn.Linear, nn.ReLU, nn.Linear]
    with pytest.raises(ConfigError, match=r"^\[models\] mlp\(\[4\]\); expected"):
        models.mlp([4])


@pytest.mark.parametrize("make", [models.lenet, lambda seed: models.mlp([4, 3, 2], seed=seed)])
def test_equal_seeds_give_equal_networks(make):
    one, two, other = make(seed=1), make(seed=1), make(seed=2)
    for path, value in one.state_dict().items():
        np.testing.assert_array_equal(value, two.state_dict()[path])
    assert not np.array_equal(one.parameters()[0].data, other.parameters()[0].data)


def test_lenet_learns_the_digits():
    train, test = data.digits().shuffled(0).split(1437)
    net = models.lenet()
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(4):
        for x, y in train.batches(64, shuffle=epoch):
            opt.zero_grad()
            nn.cross_entropy(net(x), y).backward()
            opt.step()
    accuracy = nn.Accuracy()
    with no_grad():
        for x, y in test.batches(100):
            accuracy.update(net.eval()(x), y)
    assert accuracy.totals()[1] == 360
    assert accuracy.value() > 0.95
