"""Where parameters start from.

Not a layer: a layer says what it feeds from and asks here for numbers.
"""

from __future__ import annotations

import math

import numpy as np

from ringsync.autograd import Array
from ringsync.namespaces import beside


def he_uniform(out: Array, fan_in: int, generator: np.random.Generator) -> None:
    """Fill `out` uniformly within +-sqrt(6 / fan_in), which keeps the variance through ReLU layers.

    Args:
        out: Written in place, in its own dtype.
        fan_in: Number of inputs of one output.
        generator: Where the numbers come from.

    Source: He, Zhang, Ren & Sun, ICCV 2015, doi:10.1109/ICCV.2015.123.
    """
    bound = math.sqrt(6 / fan_in)
    values = generator.uniform(-bound, bound, out.shape)  # on the host: equal wherever `out` lies
    np.copyto(out, beside(values, out), casting="same_kind")


def starting_generator(seed: int, shape: tuple[int, ...]) -> np.random.Generator:
    """Give a layer a generator of its own, so that it is usable before any network is initialized.

    Args:
        seed: Of the layer.
        shape: Of its weight, so that layers of different shape differ under one seed.

    Returns:
        A generator; equal arguments give equal draws, on every machine and in every process.
    """
    return np.random.default_rng([seed, *shape])
