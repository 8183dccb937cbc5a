"""Every rule of the table: its gradient, its dtype, its behaviour under broadcasting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from ringsync.autograd import PRIMITIVES, Tensor, apply, check_grads
from ringsync.errors import MismatchError

from .cases import CASES, EVERY_CASE, split_case


def test_every_rule_has_a_case():
    assert CASES.keys() == PRIMITIVES.keys()


@pytest.mark.parametrize(("name", "case"), EVERY_CASE)
def test_the_gradient_of_every_rule_is_that_of_central_differences(name, case):
    inputs, options = split_case(case)
    check_grads(lambda *xs: apply(PRIMITIVES[name], *xs, **options), *inputs)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("name", "case"), EVERY_CASE)
def test_every_rule_keeps_the_dtype_forth_and_back(name, case, dtype):
    arrays, options = split_case(case, dtype)
    inputs = [Tensor(one, requires_grad=one.dtype == dtype) for one in arrays]
    output = apply(PRIMITIVES[name], *inputs, **options)
    output.backward(np.ones(output.shape))
    assert output.dtype == dtype
    assert {one.grad.dtype for one in inputs if one.requires_grad} == {np.dtype(dtype)}


@pytest.mark.parametrize(("name", "case"), EVERY_CASE)
def test_no_rule_writes_into_what_it_is_given(name, case):
    arrays, options = split_case(case)
    for one in arrays:
        one.flags.writeable = False
    inputs = [Tensor(one, requires_grad=one.dtype == np.float64) for one in arrays]
    output = apply(PRIMITIVES[name], *inputs, **options)
    gradient = np.ones(output.shape)
    gradient.flags.writeable = False
    output.backward(gradient)


@given(shapes=mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3))
def test_a_broadcast_input_receives_the_sum_over_where_it_was_stretched(shapes):
    left, right = (Tensor(np.ones(shape), True) for shape in shapes.input_shapes)
    output = left * right
    output.backward(np.ones(output.shape))
    size = int(np.prod(shapes.result_shape))
    for one in (left, right):
        assert one.grad.shape == one.shape
        assert np.all(one.grad == size / one.data.size)


@given(shift=st.floats(-(2.0**100), 2.0**100, width=32), label=st.integers(0, 2))
def test_cross_entropy_stays_finite_for_any_logits(shift, label):
    logits = Tensor(np.array([[shift, 0, -shift]], np.float32), True)
    loss = apply(PRIMITIVES["cross_entropy"], logits, np.array([label]))
    loss.backward()
    assert np.isfinite(float(loss))
    assert np.isfinite(logits.grad).all()
    assert abs(logits.grad.sum()) < 1e-6


def test_relu_lets_nan_through():
    assert np.isnan(apply(PRIMITIVES["relu"], np.array([np.nan, 1.0])).data[0])


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(MismatchError, match=r"^\[add\] shapes \(2,\), \(3,\) do not fit: .*\.$"):
        Tensor(np.ones(2)) + Tensor(np.ones(3))
