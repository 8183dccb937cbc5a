"""Tensors as values: dtypes, operators, representation, refusals."""

import numpy as np
import pytest

from ringsync.autograd import (
    Parameter,
    Tensor,
    as_tensor,
    check_grads,
    flatten,
    log,
    log_softmax,
    maximum,
    primitive,
    relu,
    take,
)
from ringsync.autograd import apply as apply_rule
from ringsync.errors import MismatchError

X = np.array([[1.0, -2.0], [3.0, 4.0]], np.float32)


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x + 1,
        lambda x: 1 - x,
        lambda x: x * 2.5,
        lambda x: 2.0 / x,
        lambda x: x**2,
        lambda x: x / np.float64(3),
        lambda x: np.int64(3) * x,
        lambda x: -x @ x,
        lambda x: X - x,
        lambda x: X @ x,
        lambda x: x.sum() / 4,
    ],
)
def test_arithmetic_is_numpys_and_float32_stays_float32(compute):
    result = compute(Tensor(X))
    assert isinstance(result, Tensor)
    assert result.dtype == np.float32
    expected = compute(X)
    np.testing.assert_allclose(result.data, np.asarray(expected, np.float32), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: relu(X), np.maximum(X, 0)),
        (lambda: maximum(X, 2.0), np.maximum(X, 2)),
        (lambda: log(np.abs(X)), np.log(np.abs(X))),
        (lambda: flatten(X[None]), X.reshape(1, 4)),
        (lambda: take(X, [1, 0], axis=1), X[:, ::-1]),
        (lambda: Tensor(X).mean(axis=0), X.mean(axis=0)),
        (lambda: Tensor(X).max(axis=1, keepdims=True), X.max(axis=1, keepdims=True)),
        (lambda: Tensor(X).reshape(4, 1), X.reshape(4, 1)),
        (lambda: Tensor(X).transpose(1, 0), X.T),
        (lambda: Tensor(X)[1, ::-1], X[1, ::-1]),
        (lambda: log_softmax(X), X - np.log(np.exp(X).sum(axis=1, keepdims=True))),
    ],
)
def test_functions_and_methods_compute_what_numpy_computes(call, expected):
    np.testing.assert_allclose(call().data, expected, rtol=1e-5)


def test_python_numbers_become_float32_and_arrays_keep_their_dtype():
    assert Tensor(1.5).dtype == np.float32
    assert Tensor([1.5]).dtype == np.float32
    assert Tensor(np.ones(1)).dtype == np.float64
    assert Tensor(np.float64(1)).dtype == np.float64
    assert Tensor([1, 2]).dtype == np.int64


def test_a_tensor_shares_the_memory_of_its_array():
    array = np.ones(2)
    assert Tensor(array).data is array
    assert as_tensor(array).detach().data is array


def test_a_scalar_is_a_float():
    assert float(Tensor(X).sum()) == 6


def test_repr_shows_values_dtype_and_origin():
    assert repr(Tensor([1.0, 2.0])) == "Tensor([1., 2.], dtype=float32)"
    w = Tensor([1.0], requires_grad=True)
    assert repr(w) == "Tensor([1.], dtype=float32, requires_grad=True)"
    assert repr(w * 2) == "Tensor([2.], dtype=float32, by='mul')"
    assert repr(Parameter(X, "fc.weight")) == (
        "Parameter('fc.weight', shape=(2, 2), dtype=float32)"
    )


def test_detach_cuts_the_past_off():
    w = Tensor(X, requires_grad=True)
    assert (w * 2).detach().node is None


def test_a_frozen_parameter_receives_nothing():
    w, v = Parameter(X), Parameter(X)
    w.requires_grad = False
    (w * v).sum().backward()
    assert w.grad is None
    assert v.grad is not None


def test_integers_refuse_gradients():
    with pytest.raises(MismatchError, match=r"^\[tensor\] requires_grad on dtype int64; .*astype"):
        Tensor([1, 2], requires_grad=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (Tensor(X).backward, r"nothing .* requires a gradient\. Set"),
        ((Tensor(X, True) * 2).backward, r"shape \(2, 2\) is no scalar\. Reduce"),
        (lambda: Tensor(X, True).backward([1.0]), r"shape \(1,\), the tensor \(2, 2\)"),
    ],
)
def test_backward_refuses_what_it_cannot_do_and_says_what_to_do(call, message):
    with pytest.raises(MismatchError, match=rf"^\[backward\] .*{message}"):
        call()


def test_check_grads_names_the_rule_the_input_and_the_worst_element():
    def skewed(g, _out, x):
        gradient = 2 * g * x
        gradient[1] += 0.5
        return gradient

    @primitive(skewed)
    def square(x):
        return x * x

    with pytest.raises(AssertionError, match=r"'square': input 0, element \(1,\): .*\. Check"):
        check_grads(lambda x: apply_rule(square, x), np.ones(3))


def test_check_grads_finds_a_gradient_that_is_missing_or_nan():
    with pytest.raises(AssertionError, match="input 1 received no gradient"):
        check_grads(lambda x, y: x + y.detach(), np.ones(2), np.ones(2))
    nan = primitive(lambda g, _out, _x: g * np.nan)(lambda x: x + 0)
    with pytest.raises(AssertionError, match="the tape says nan"):
        check_grads(lambda x: apply_rule(nan, x), np.ones(2))
