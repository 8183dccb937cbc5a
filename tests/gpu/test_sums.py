"""Sums of peers: bit-equal to the reference, in the order of the sources."""

import numpy as np
import pytest

from bench.device.abi import MOST_PEERS, Dtype, Status
from bench.device.plugin import PluginError, make_sum
from bench.device.values import INTEGERS, NUMPY, random_values, summed


def check(device, dtype, count, peers, *, scale=1.0, shift=0, seed=0, in_place=None):
    generator = np.random.default_rng(seed)
    arrays = [random_values(generator, dtype, count) for _ in range(peers)]
    item_bytes = NUMPY[dtype].itemsize
    sources = [device.empty((count + 8) * item_bytes) + shift * item_bytes for _ in arrays]
    for source, array in zip(sources, arrays, strict=True):
        device.plugin.put(array, source)
    poisoned = device.filled((count + 8) * item_bytes, 0xCD)
    destination = poisoned if in_place is None else sources[in_place]
    with np.errstate(over="ignore"):
        want = summed(arrays, dtype, scale)
    structure = make_sum(destination, sources, count, dtype, scale=scale)
    device.plugin.call("sum_peers", structure, 0)
    found = device.read(destination, count, NUMPY[dtype])
    np.testing.assert_array_equal(found.view(np.uint8), want.view(np.uint8))
    if in_place is None:
        rest = device.read(poisoned + count * item_bytes, 8 * item_bytes, np.uint8)
        assert (rest == 0xCD).all()


@pytest.mark.parametrize("peers", range(1, MOST_PEERS + 1))
@pytest.mark.parametrize("dtype", [Dtype.FLOAT32, Dtype.BFLOAT16])
def test_a_sum_of_any_number_of_peers_has_the_bits_of_the_reference(device, peers, dtype):
    check(device, dtype, 1003, peers, seed=peers)


@pytest.mark.parametrize("dtype", list(Dtype))
@pytest.mark.parametrize("count", [0, 1, 2, 15, 64, 5001])
def test_a_sum_of_any_type_and_size_has_the_bits_of_the_reference(device, dtype, count):
    check(device, dtype, count, 4, scale=1.0 if dtype in INTEGERS else 0.25)


@pytest.mark.parametrize("dtype", list(Dtype))
def test_a_sum_at_any_address_has_the_bits_of_the_reference(device, dtype):
    check(device, dtype, 777, 3, shift=1)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_sum_may_replace_one_of_its_sources(device, place):
    check(device, Dtype.FLOAT16, 4099, 3, in_place=place)


def test_nothing_but_minus_zeros_sum_to_minus_zero(device):
    zeros = device.array(np.full(5, -0.0, np.float32))
    destination = device.empty(20)
    structure = make_sum(destination, [zeros, zeros], 5, Dtype.FLOAT32)
    device.plugin.call("sum_peers", structure, 0)
    assert np.signbit(device.read(destination, 5, np.float32)).all()


@pytest.mark.parametrize(
    ("peers", "dtype", "scale", "status"),
    [
        (0, Dtype.FLOAT32, 1.0, Status.BAD_ARGUMENT),
        (17, Dtype.FLOAT32, 1.0, Status.BAD_ARGUMENT),
        (2, Dtype.INT64, 0.5, Status.BAD_TYPES),
        (2, 5, 1.0, Status.BAD_TYPES),
    ],
)
def test_a_sum_that_makes_no_sense_is_refused(device, peers, dtype, scale, status):
    memory = device.filled(64, 0)
    structure = make_sum(memory, [memory] * peers, 4, dtype, scale=scale)
    with pytest.raises(PluginError) as raised:
        device.plugin.call("sum_peers", structure, 0)
    assert raised.value.status == status
