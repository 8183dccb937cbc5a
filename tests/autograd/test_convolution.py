"""Convolution and pooling against definitions so plain that they cannot be wrong."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ringsync.autograd import PRIMITIVES, Tensor, apply
from ringsync.autograd.ops import columns


def plain_windows(x, kernel, stride, pad, fill):
    border = (pad, pad)
    padded = np.pad(x, ((0, 0), (0, 0), border, border), constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(2, 3))
    return windows[:, :, ::stride, ::stride]


@st.composite
def pictures(draw):
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    pad = draw(st.integers(0, 3))
    size = [draw(st.integers(max(1, one - 2 * pad), 9)) for one in kernel]
    count, channels = draw(st.integers(0, 5)), draw(st.integers(1, 9))
    generator = np.random.default_rng(draw(st.integers(0, 9)))
    x = generator.standard_normal((count, channels, *size))
    weight = generator.standard_normal((draw(st.integers(1, 3)), channels, *kernel))
    return x, weight, draw(st.integers(1, 3)), pad


@given(case=pictures())
def test_a_convolution_is_the_sum_over_every_window(case):
    x, weight, stride, pad = case
    out = apply(PRIMITIVES["conv2d"], x, weight, stride=stride, pad=pad).data
    windows = plain_windows(x, weight.shape[2:], stride, pad, 0)
    expected = np.einsum("nchwij,ocij->nohw", windows, weight)
    np.testing.assert_allclose(out, expected, atol=1e-12)


@given(case=pictures())
def test_both_gradients_of_a_convolution_are_its_adjoints(case):
    array, kernel, stride, pad = case
    x, weight = Tensor(array, True), Tensor(kernel, True)
    out = apply(PRIMITIVES["conv2d"], x, weight, stride=stride, pad=pad)
    out.backward(out.data)
    # Linear in each input, so that <gradient, input> = <out, out> for both.
    energy = (out.data**2).sum()
    np.testing.assert_allclose((x.grad * array).sum(), energy, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose((weight.grad * kernel).sum(), energy, rtol=1e-9, atol=1e-9)


def test_the_result_does_not_depend_on_how_samples_are_grouped(monkeypatch):
    generator = np.random.default_rng(0)
    x = generator.standard_normal((7, 6, 9, 9)).astype(np.float32)
    weight = generator.standard_normal((4, 6, 3, 3)).astype(np.float32)
    results = []
    for size in (1, 40_000, 10**9):
        monkeypatch.setattr(columns, "_GROUP_BYTES", size)
        results.append(apply(PRIMITIVES["conv2d"], x, weight, pad=1).data)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_the_first_layer_computes_no_gradient_of_the_pictures():
    x = Tensor(np.ones((1, 1, 4, 4)))
    weight = Tensor(np.ones((1, 1, 3, 3)), True)
    out = apply(PRIMITIVES["conv2d"], x, weight)
    assert out.node.parents == (None, weight)


@given(
    size=st.integers(3, 8), kernel=st.integers(1, 3), stride=st.integers(1, 3), pad=st.booleans()
)
def test_pooling_is_the_maximum_of_every_window(size, kernel, stride, pad):
    pad = int(pad and kernel > 1)
    x = np.random.default_rng(size).integers(-9, 9, (2, 3, size, size)).astype(np.float32)
    picture = Tensor(x, True)
    out = apply(PRIMITIVES["max_pool2d"], picture, kernel=kernel, stride=stride, pad=pad)
    windows = plain_windows(x, (kernel, kernel), stride, pad, -np.inf)
    np.testing.assert_array_equal(out.data, windows.max(axis=(4, 5)))
    out.backward(np.ones(out.shape))
    assert picture.grad.sum() == out.data.size


def test_of_equal_pixels_the_first_takes_the_gradient():
    x = Tensor(np.zeros((1, 1, 2, 2)), True)
    apply(PRIMITIVES["max_pool2d"], x, kernel=2, stride=2).sum().backward()
    assert x.grad.ravel().tolist() == [1, 0, 0, 0]


def test_pooling_takes_integers_too():
    x = np.array([[[[-3, -1], [-2, -4]]]])
    out = apply(PRIMITIVES["max_pool2d"], x, kernel=2, stride=2, pad=1)
    assert out.data.ravel().tolist() == [-3, -1, -2, -4]
