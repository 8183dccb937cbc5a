"""The learning library on a device: what it computes there is what it computes on the host."""

import copy
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from ringsync import data, models, nn, optim
from ringsync.autograd import PRIMITIVES, Parameter, Tensor, apply, check_grads, take
from ringsync.errors import ConfigError, MismatchError

from ..autograd.cases import EVERY_CASE, split_case
from ..nn.test_layers import LAYERS
from .libraries import LIBRARIES, load
from .strict_cupy.functions import unlike

# Sums of as many numbers as these tests add, in another order.
NEAR = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-5}

OPTIMIZERS = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "decay": {"momentum": 0.5, "weight_decay": 0.01},
}


@pytest.fixture(params=LIBRARIES)
def cp(request, monkeypatch):
    made = load(request.param)
    monkeypatch.setitem(sys.modules, "cupy", made)
    return made


def require_same(there, here):
    """Equal values up to the order of sums, of one dtype, on a device and on the host."""
    assert not isinstance(there, np.ndarray)
    assert isinstance(here, np.ndarray)
    assert there.dtype == here.dtype
    near = NEAR.get(here.dtype, 0)
    np.testing.assert_allclose(there.get(), here, rtol=near, atol=near)


def trained(net, device, steps=5, **options):
    """A network after some steps on the digits, its optimizer, and its last loss."""
    optimizer = optim.SGD(net.parameters(), lr=0.1, **options)
    batches = data.digits().to(device).batches(32, shuffle=0)
    for _, (x, y) in zip(range(steps), batches, strict=False):
        optimizer.zero_grad()
        loss = nn.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
    return net, optimizer, loss


def require_alike(states):
    there, here = states
    assert there.keys() == here.keys()
    for name, value in here.items():
        assert isinstance(there[name], np.ndarray | float | bool)
        np.testing.assert_allclose(there[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def where_cupy_is(test):
    """CuPy comes with what is installed for a GPU; without a GPU it compares as well."""
    return pytest.mark.gpu(test) if find_spec("cupy") is None else test


@where_cupy_is
def test_the_stand_in_has_nothing_that_cupy_lacks_or_spells_otherwise():
    assert unlike(pytest.importorskip("cupy")) == []


@pytest.mark.parametrize(("name", "case"), EVERY_CASE)
def test_every_rule_gives_numpys_values_and_gradients(cp, name, case):
    arrays, options = split_case(case)
    there, here = (
        [Tensor(move(one), requires_grad=one.dtype.kind == "f") for one in arrays]
        for move in (cp.asarray, np.copy)
    )
    outputs = [apply(PRIMITIVES[name], *inputs, **options) for inputs in (there, here)]
    require_same(outputs[0].data, outputs[1].data)
    weights = np.random.default_rng(1).uniform(0.5, 1.5, outputs[1].shape)
    outputs[0].backward(cp.asarray(weights))
    outputs[1].backward(weights)
    for one, other in zip(there, here, strict=True):
        if one.requires_grad:
            require_same(one.grad, other.grad)


def test_check_grads_looks_at_the_device_where_its_arrays_lie(cp):
    x, w = cp.asarray(np.ones((2, 3))), cp.asarray(np.full((3, 4), 0.5))
    check_grads(lambda x, w: (x @ w).sum(), x, w)
    with pytest.raises(AssertionError, match=r"^\[check_grads\] 'detached': input 0 received no"):
        check_grads(detached, x)


def detached(x):
    return x.detach()


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_trains_as_on_the_host(cp, name):
    make, shape = LAYERS[name]
    here = make()
    there = copy.deepcopy(here).to("cuda")
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    outputs = []
    for layer, values in ((there, cp.asarray(x)), (here, x)):
        pictures = Tensor(values, requires_grad=True)
        output = layer(pictures)
        (output * output).sum().backward()
        outputs.append([output.data, pictures.grad, *(one.grad for one in layer.parameters())])
        if layer.parameters():
            optim.SGD(layer.parameters(), lr=0.1).step()
    for one, other in zip(*outputs, strict=True):
        require_same(one, other)
    require_alike([there.state_dict(), here.state_dict()])


@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_optimizer_trains_as_on_the_host(cp, options):  # noqa: ARG001  it is loaded
    runs = [
        trained(
            nn.Sequential(nn.Conv2d(1, 4, 3, seed=1), nn.relu, nn.flatten, nn.Linear(144, 10)).to(
                device
            ),
            device,
            **options,
        )
        for device in ("cuda", "cpu")
    ]
    require_alike([net.state_dict() for net, _, _ in runs])
    require_alike([optimizer.state_dict() for _, optimizer, _ in runs])
    losses = [float(loss) for _, _, loss in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_an_optimizer_follows_its_network_to_a_device_and_back(cp):  # noqa: ARG001  it is loaded
    net = models.mlp([64, 16, 10], seed=1)
    twin = copy.deepcopy(net)
    parameters = net.parameters()
    flat = data.digits().map(lambda x: x.reshape(len(x), -1))

    def three_steps(net, optimizer, device):
        for _, (x, y) in zip(range(3), flat.to(device).batches(32), strict=False):
            optimizer.zero_grad()
            nn.cross_entropy(net(x), y).backward()
            optimizer.step()

    optimizer, other = (optim.SGD(one.parameters(), lr=0.1, momentum=0.9) for one in (net, twin))
    for device in ("cpu", "cuda", "cpu"):
        assert net.to(device) is net
        assert [one.device for one in net.parameters()] == [device] * 4
        three_steps(net, optimizer, device)
        three_steps(twin, other, "cpu")
    assert all(one is before for one, before in zip(net.parameters(), parameters, strict=True))
    require_alike([net.state_dict(), twin.state_dict()])
    require_alike([optimizer.state_dict(), other.state_dict()])


def test_gradients_go_along_with_their_parameters(cp):  # noqa: ARG001  it is loaded
    net = models.mlp([4, 3], seed=1)
    net(np.ones((2, 4), np.float32)).sum().backward()
    before = [one.grad for one in net.parameters()]
    for one, gradient in zip(net.to("cuda").parameters(), before, strict=True):
        require_same(one.grad, gradient)


def test_equal_seeds_give_equal_values_wherever_they_are_drawn(cp):  # noqa: ARG001  it is loaded
    there, here = (models.lenet(seed=1) for _ in range(2))
    there.to("cuda").initialize(7)
    here.initialize(7)
    for one, other in zip(there.parameters(), here.parameters(), strict=True):
        np.testing.assert_array_equal(one.data.get(), other.data)


def test_a_state_is_of_the_host_and_is_loaded_wherever_a_network_lies(cp):
    here, there = models.mlp([4, 3], seed=1), models.mlp([4, 3], seed=2).to("cuda")
    homes = [one.data for one in there.parameters()]
    there.load_state_dict(here.state_dict())
    assert all(one.data is home for one, home in zip(there.parameters(), homes, strict=True))
    for name, value in there.state_dict().items():
        np.testing.assert_array_equal(value, here.state_dict()[name])
    raised = {name: cp.asarray(value + 1) for name, value in here.state_dict().items()}
    for net in (here, there):
        net.load_state_dict(raised)
        np.testing.assert_array_equal(net.state_dict()["0.bias"], np.ones(3, np.float32))


def test_an_optimizers_state_is_loaded_wherever_its_parameters_lie(cp):  # noqa: ARG001  it is loaded
    net, optimizer, _ = trained(nn.Sequential(nn.flatten, nn.Linear(64, 10)), "cpu", momentum=0.9)
    other = optim.SGD(copy.deepcopy(net).to("cuda").parameters(), lr=0.5, momentum=0.9)
    other.load_state_dict(optimizer.state_dict())
    require_alike([other.state_dict(), optimizer.state_dict()])


def test_numbers_and_lists_go_where_the_tensor_lies(cp):
    x = Tensor(cp.asarray(np.array([1.0, 2.0], np.float32)), requires_grad=True)
    y = (2 * x + np.float64(1.0)) * [3.0, 4.0]
    assert y.device == "cuda"
    assert y.dtype == np.float32
    y.backward([1.0, 1.0])
    assert y.data.tolist() == [9.0, 20.0]
    assert x.grad.tolist() == [6.0, 8.0]
    assert float(nn.cross_entropy(Tensor(cp.zeros((2, 4))), [0, 3])) == pytest.approx(np.log(4))


def test_what_a_network_is_called_with_does_not_go_where_the_network_lies(cp):  # noqa: ARG001  loaded
    net = nn.Linear(2, 3).to("cuda")
    with pytest.raises(MismatchError, match="cuda"):
        net([[1.0, 2.0]])


def test_a_tensor_shows_its_values_and_where_they_lie(cp):
    x = Tensor(cp.asarray(np.array([1.0, 2.0], np.float32)))
    assert repr(x) == "Tensor([1., 2.], dtype=float32, device='cuda')"
    assert repr(x.to("cpu")) == "Tensor([1., 2.], dtype=float32)"
    assert len(x) == 2
    assert float(x.sum()) == 3.0


def test_a_tensor_goes_there_and_back_without_its_past(cp):  # noqa: ARG001  it is loaded
    x = Tensor([1.0, 2.0], requires_grad=True)
    there = (x * 2).to("cuda")
    require_same(there.data, np.array([2.0, 4.0], np.float32))
    assert there.node is None
    assert not there.requires_grad
    assert there.to("cuda").data is there.data
    assert x.to("cpu").data is x.data


@pytest.mark.parametrize("shuffle", [None, 3])
def test_batches_of_a_set_on_a_device_are_those_of_the_host(cp, shuffle):  # noqa: ARG001  it is loaded
    here = data.digits().shard(1, 2)
    there = here.to("cuda")
    assert (there.index, there.shards) == (1, 2)
    pairs = list(zip(there.batches(400, shuffle), here.batches(400, shuffle), strict=True))
    assert len(pairs) >= 4
    for (x, y), (own_x, own_y) in pairs:
        require_same(x, own_x)
        require_same(y, own_y)
    back = there.to("cpu")
    np.testing.assert_array_equal(back.x, here.x)


def test_metrics_take_what_lies_on_a_device(cp):
    logits = cp.asarray(np.array([[0.1, 0.9], [0.8, 0.2]], np.float32))
    labels = cp.asarray(np.array([1, 1]))
    accuracy, mean_loss = nn.Accuracy(), nn.MeanLoss()
    accuracy.update(logits, labels)
    mean_loss.update(nn.cross_entropy(logits, labels), labels)
    assert accuracy.value() == 0.5
    assert mean_loss.value() == pytest.approx(
        float(nn.cross_entropy(logits.get(), labels.get())), rel=1e-6
    )
    with pytest.raises(MismatchError, match="labels go from 1 to 2; expected 0 to 1"):
        nn.cross_entropy(logits, cp.asarray(np.array([1, 2])))


MIXED = {
    "add": (lambda there, here: Tensor(there) + here, "add", "(2, 2)"),
    "matmul": (lambda there, here: Tensor(there) @ Tensor(here), "matmul", "(2, 2)"),
    "layer": (lambda there, _: nn.Linear(2, 3)(there), "linear", "(3, 2)"),
    "labels": (lambda there, _: nn.cross_entropy(there, np.array([0, 1])), "cross_entropy", "(2,)"),
}


@pytest.mark.parametrize("name", MIXED)
def test_host_and_device_in_one_operation_are_refused_and_both_named(cp, name):
    mix, place, shape = MIXED[name]
    here = np.ones((2, 2), np.float32)
    with pytest.raises(MismatchError) as told:
        mix(cp.asarray(here), here)
    assert str(told.value) == (
        f"[{place}] input 0 of shape (2, 2) lies on cuda, input 1 of shape {shape} on cpu; "
        "expected one device. Bring networks, data sets and tensors there with .to()."
    )


def test_gradients_from_the_host_are_refused_on_a_device(cp):
    x = Parameter(cp.zeros(2, np.float32), "w")
    with pytest.raises(MismatchError, match=r"^\[backward\] input 0 .* on cpu, input 1 .* on cuda"):
        (x * 2).backward(np.ones(2, np.float32))
    x.grad = np.ones(2, np.float32)
    with pytest.raises(MismatchError, match=r"^\[step: 'w'\] input 0 .* on cuda, input 1 .* on cp"):
        optim.SGD([x], lr=0.1).step()


def test_an_index_beyond_the_end_is_refused_as_on_the_host(cp):
    table = cp.zeros((4, 2), np.float32)
    with pytest.raises(IndexError, match="indices from 0 to 4 for axis 0 with size 4"):
        take(Tensor(table), [0, 4])


@pytest.mark.parametrize(
    "move", [nn.Linear(2, 3).to, Tensor([1.0]).to, data.synthetic(2, 4, (1,), 0).to, nn.ReLU().to]
)
def test_a_device_that_is_none_or_has_no_gpu_is_refused(move, monkeypatch):
    with pytest.raises(ConfigError) as told:
        move("gpu")
    assert str(told.value) == (
        "[to] device 'gpu' is unknown; one of cpu, cuda is expected. Which GPU 'cuda' is, "
        "cupy.cuda.Device(number).use() says."
    )
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if it were not installed
    with pytest.raises(ConfigError, match=r"^\[to\] 'cuda' needs CuPy, which cannot be loaded: .*"):
        move("cuda")
    made = load("stand-in")
    monkeypatch.setitem(sys.modules, "cupy", made)
    for count, why in ((lambda: 0, ""), (no_driver, r" \(RuntimeError: no driver\)")):
        monkeypatch.setattr(made.cuda.runtime, "getDeviceCount", count)
        with pytest.raises(ConfigError, match=rf"^\[to\] CuPy finds no GPU{why}; one is expected"):
            move("cuda")


def no_driver():
    raise RuntimeError("no driver")
