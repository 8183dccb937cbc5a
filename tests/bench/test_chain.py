"""The torch network that overlap is measured with is like the model it is named for."""

import pytest
import torch

from bench.ranks.chain import Chain, make_values
from bench.shapes import SHAPES, model_shapes


def backward(chain, x):
    y = chain(x)
    (y * y).mean().backward()


@pytest.mark.parametrize("name", ["resnet50", "small"])
def test_backward_hands_out_the_models_gradients_in_the_models_order(name):
    chain = Chain(make_values(model_shapes(name)))
    seen = []
    for parameter in chain.parameters():
        parameter.register_post_accumulate_grad_hook(lambda p: seen.append(p.numel()))
    backward(chain, torch.rand(2, 512))
    assert tuple(seen) == SHAPES[name]()


def test_every_parameter_has_a_gradient_of_normal_numbers():
    shapes = [(32, 3, 2, 2), (32,), (40, 32), (24, 40), (64, 24), (64,), (64, 64)] * 9
    chain = Chain(make_values(shapes))
    backward(chain, torch.rand(4, 16))
    for parameter in chain.parameters():
        assert torch.finfo().tiny * 1e6 < parameter.grad.abs().max() < 1e6


def test_networks_of_one_ranks_values_share_them_and_have_gradients_of_their_own():
    values = make_values([(4, 3), (4,)])
    first, second = Chain(values), Chain(values)
    backward(first, torch.rand(2, 3))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert one.data_ptr() == other.data_ptr()
        assert (one.grad is None, other.grad is None) == (False, True)
