"""SGD against its formula, its state, and settings that make no optimizer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync import optim
from ringsync.autograd import Parameter
from ringsync.errors import ConfigError, MismatchError


def parameters(*shapes):
    generator = np.random.default_rng(0)
    return [
        Parameter(generator.standard_normal(shape).astype(np.float32), f"p{i}")
        for i, shape in enumerate(shapes)
    ]


def give_gradients(some, seed):
    generator = np.random.default_rng(seed)
    for one in some:
        one.grad = generator.standard_normal(one.shape).astype(np.float32)


@given(
    lr=st.floats(1e-3, 1),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    weight_decay=st.sampled_from([0.0, 0.01]),
    nesterov=st.booleans(),
)
def test_every_step_is_the_formula(lr, momentum, weight_decay, nesterov):
    nesterov = nesterov and momentum > 0
    (w,) = parameters((3, 2))
    opt = optim.SGD([w], lr, momentum, weight_decay, nesterov)
    value, velocity = w.data.astype(np.float64), np.zeros((3, 2))
    for step in range(4):
        give_gradients([w], step)
        direction = w.grad + weight_decay * value
        velocity = momentum * velocity + direction
        value -= lr * (momentum * velocity + direction if nesterov else velocity)
        opt.step()
        np.testing.assert_allclose(w.data, value, rtol=1e-4, atol=1e-5)


def test_a_step_changes_the_array_in_place_and_leaves_the_gradient_alone():
    (w,) = parameters((4,))
    home = w.data
    give_gradients([w], 0)
    grad = w.grad.copy()
    optim.SGD([w], lr=np.float64(0.1), momentum=0.9, weight_decay=0.1, nesterov=True).step()
    assert w.data is home
    assert w.data.dtype == np.float32
    np.testing.assert_array_equal(w.grad, grad)


def test_a_parameter_without_a_gradient_stays_as_it_is():
    w, v = parameters((2,), (2,))
    give_gradients([v], 0)
    before = w.data.copy()
    optim.SGD([w, v], lr=0.1, momentum=0.9, weight_decay=0.1).step()
    np.testing.assert_array_equal(w.data, before)


def test_zero_grad_keeps_the_buffer():
    (w,) = parameters((2,))
    w.grad_buffer = w.grad = np.ones(2, np.float32)
    optim.SGD([w], lr=0.1).zero_grad()
    assert w.grad is None
    assert w.grad_buffer.tolist() == [1, 1]


def test_the_learning_rate_may_change_between_steps():
    (w,) = parameters((2,))
    opt = optim.SGD([w], lr=0.1)
    opt.lr = 0.5
    w.data.fill(1)
    w.grad = np.ones(2, np.float32)
    opt.step()
    assert w.data.tolist() == [0.5, 0.5]


def test_a_loaded_state_continues_as_the_saved_one():
    one, two = parameters((3,), (2, 2)), parameters((3,), (2, 2))
    first = optim.SGD(one, lr=0.1, momentum=0.9)
    give_gradients(one, 0)
    first.step()
    first.lr = 0.05
    saved = first.state_dict()
    for a, b in zip(one, two, strict=True):
        b.data[...] = a.data
    second = optim.SGD(two, lr=0.7, momentum=0.9)
    second.load_state_dict(saved)
    for opt, some in ((first, one), (second, two)):
        give_gradients(some, 1)
        opt.step()
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_a_state_holds_all_that_the_next_step_depends_on():
    one, two = parameters((3,)), parameters((3,))
    first = optim.SGD(one, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True)
    second = optim.SGD(two, lr=0.7, momentum=0.5)
    second.load_state_dict(first.state_dict())
    assert second.state_dict().keys() == first.state_dict().keys()
    for step in range(2):
        for opt, some in ((first, one), (second, two)):
            give_gradients(some, step)
            opt.step()
    np.testing.assert_array_equal(one[0].data, two[0].data)


@pytest.mark.parametrize("setting", [{"lr": 0}, {"momentum": 1.0}, {"weight_decay": -1.0}])
def test_a_saved_setting_that_cannot_be_used_changes_nothing(setting):
    opt = optim.SGD(parameters((2,)), lr=0.1, momentum=0.9)
    fresh = opt.state_dict()
    with pytest.raises(ConfigError, match=next(iter(setting))):
        opt.load_state_dict({**fresh, "velocity.0": np.ones(2), "nesterov": True, **setting})
    after = opt.state_dict()
    assert not after.pop("velocity.0").any()
    assert after == {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0, "nesterov": False}


def test_a_saved_state_is_a_copy_whose_keys_do_not_depend_on_steps():
    some = parameters((3,), (2,))
    opt = optim.SGD(some, lr=0.1, momentum=0.9)
    fresh = opt.state_dict()
    give_gradients(some[:1], 0)
    opt.step()
    settings = {"lr", "momentum", "weight_decay", "nesterov"}
    assert fresh.keys() == opt.state_dict().keys() == settings | {"velocity.0", "velocity.1"}
    assert not fresh["velocity.0"].any()
    assert optim.SGD(some, lr=0.1).state_dict().keys() == settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("velocity.1"), r"missing \['velocity.1'\]"),
        (lambda state: state.update(beta=1.0), r"unexpected \['beta'\]"),
        (
            lambda state: state.update({"velocity.0": np.ones(9)}),
            r"'velocity.0': shape \(9,\) was saved, parameter 'p0' has \(3,\)",
        ),
    ],
)
def test_a_state_that_does_not_fit_is_named_and_changes_nothing(change, message):
    opt = optim.SGD(parameters((3,), (2,)), lr=0.1, momentum=0.9)
    state = {key: value + 1 for key, value in opt.state_dict().items()}
    change(state)
    with pytest.raises(MismatchError, match=rf"^\[load_state_dict\] .*{message}"):
        opt.load_state_dict(state)
    assert opt.lr == 0.1
    assert not opt.state_dict()["velocity.0"].any()


@pytest.mark.parametrize(("state", "kind"), [(None, "None"), ([], "a list"), (5, "an int")])
def test_what_is_no_state_is_told_with_what_is(state, kind):
    with pytest.raises(ConfigError) as told:
        optim.SGD(parameters((3,)), lr=0.1).load_state_dict(state)
    assert str(told.value) == (
        f"[load_state_dict] {kind} was given; a mapping of keys to arrays and numbers is expected. "
        "Pass what state_dict() of one made alike gave."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0}, r"\[optim\] lr=0; expected a number above 0"),
        ({"lr": -1.0}, r"\[optim\] lr=-1.0; expected"),
        ({"lr": float("nan")}, r"\[optim\] lr=nan; expected a finite"),
        ({"lr": "fast"}, r"\[optim\] lr='fast'; expected a number"),
        ({"momentum": 1.0}, r"\[sgd\] momentum=1.0; expected 0 <= momentum < 1"),
        ({"momentum": float("nan")}, r"\[optim\] momentum=nan"),
        ({"weight_decay": -0.1}, r"\[sgd\] weight_decay=-0.1"),
        ({"nesterov": True}, r"\[sgd\] nesterov=True with momentum=0"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=rf"^{message}"):
        optim.SGD(parameters((2,)), **{"lr": 0.1, **options})


def test_parameters_that_cannot_be_optimised_are_refused():
    (w,) = parameters((2,))
    with pytest.raises(ConfigError, match=r"^\[optim\] 0 parameters; .*net.parameters"):
        optim.SGD([], lr=0.1)
    with pytest.raises(ConfigError, match=r"^\[optim\] 'p0' was given twice, at 0 and 1"):
        optim.SGD([w, w], lr=0.1)
    with pytest.raises(ConfigError, match=r"^\[optim\] item 0 is a str; expected a Parameter"):
        optim.SGD(["weight"], lr=0.1)


def test_a_bad_learning_rate_is_refused_later_too():
    opt = optim.SGD(parameters((2,)), lr=0.1)
    with pytest.raises(ConfigError, match=r"^\[optim\] lr=0"):
        opt.lr = 0
    assert opt.lr == 0.1


def test_sgd_finds_the_minimum_of_a_bowl():
    (w,) = parameters((5,))
    opt = optim.SGD([w], lr=0.1, momentum=0.5)
    for _ in range(100):
        opt.zero_grad()
        ((w - 3.0) ** 2).sum().backward()
        opt.step()
    np.testing.assert_allclose(w.data, 3, atol=1e-4)


def test_a_gradient_of_no_dimensions_may_be_a_number_that_numpy_has_made_of_it():
    scale = Parameter(np.array(2.0, np.float32), "scale")
    scale.grad = np.array(3.0, np.float32) * np.float32(0.5)
    assert not isinstance(scale.grad, np.ndarray)
    optim.SGD([scale], lr=1.0).step()
    assert float(scale.data) == 0.5


@pytest.mark.parametrize(("saved", "own"), [(0.0, 0.9), (0.9, 0.0)])
def test_a_state_of_another_momentum_is_told_by_that_and_not_by_its_keys_alone(saved, own):
    state = optim.SGD(parameters((2,)), lr=0.1, momentum=saved).state_dict()
    opt = optim.SGD(parameters((2,)), lr=0.2, momentum=own)
    words = rf"momentum={saved} was saved, this one has momentum={own}; missing"
    with pytest.raises(MismatchError, match=rf"^\[load_state_dict\] {words}"):
        opt.load_state_dict(state)
