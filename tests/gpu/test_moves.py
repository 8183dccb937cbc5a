"""Pack and unpack: exact values for every pair of types, and nothing touched beside them."""

import numpy as np
import pytest

from bench.device.abi import Dtype, Shape, Status
from bench.device.plugin import PluginError, make_move, make_table
from bench.device.values import INTEGERS

from .buckets import PAIRS, Bucket, same


def names(pair):
    return f"{pair[0].name}-{pair[1].name}".lower()


def random_bucket(device, pair, tensors, seed):
    generator = np.random.default_rng(seed)
    counts = np.where(
        generator.random(tensors) < 0.4,
        generator.integers(0, 9, tensors),
        generator.integers(1, 3000, tensors),
    )
    return Bucket(device, counts, generator.integers(0, 5, tensors), pair, seed)


@pytest.mark.parametrize("pair", PAIRS, ids=names)
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_a_pack_equals_the_reference_at_any_size_and_address(device, pair, scale):
    if pair[0] in INTEGERS and scale != 1.0:
        scale = 1.0
    bucket = random_bucket(device, pair, 24, seed=1)
    bucket.check_pack(scale)


@pytest.mark.parametrize("pair", PAIRS, ids=names)
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_an_unpack_equals_the_reference_at_any_size_and_address(device, pair, scale):
    if pair[0] in INTEGERS and scale != 1.0:
        scale = 1.0
    bucket = random_bucket(device, pair, 24, seed=2)
    bucket.check_unpack(scale)


@pytest.mark.parametrize("tensors", [1, 161, 199, 240, 241, 1360, 1361, 3000])
def test_any_number_of_tensors_is_moved(device, tensors):
    generator = np.random.default_rng(tensors)
    counts = generator.integers(0, 80, tensors)
    bucket = Bucket(device, counts, generator.integers(0, 2, tensors), same(Dtype.FLOAT32))
    bucket.check_pack(0.5)
    bucket.check_unpack(2.0)


@pytest.mark.parametrize("count", [1, 7, 2047, 65536, 1_000_003])
def test_one_tensor_of_any_size_is_moved(device, count):
    bucket = Bucket(device, [count], [0], (Dtype.FLOAT32, Dtype.BFLOAT16))
    bucket.check_pack()
    bucket.check_unpack()


def test_tensors_without_elements_change_nothing(device):
    bucket = Bucket(device, [0, 5, 0, 0, 300, 0], [0] * 6, same(Dtype.FLOAT32))
    bucket.check_pack()
    bucket.check_unpack()
    Bucket(device, [0, 0], [0, 0], same(Dtype.FLOAT64)).check_pack()


def test_a_bucket_without_tensors_is_no_error(device):
    move = make_move(make_table([]), 0, 0, same(Dtype.FLOAT32))
    device.plugin.call("pack", move, 0)


@pytest.mark.parametrize(
    "shape",
    [(32, 32, 256, 1), (512, 512, 65536, 0), (256, 32, 8192, 3), (64, 16, 1, 0), (48, 32, 512, 0)],
)
def test_how_a_launch_is_cut_changes_no_value(device, shape):
    bucket = random_bucket(device, (Dtype.FLOAT32, Dtype.FLOAT16), 40, seed=3)
    bucket.check_pack(0.7, Shape(*shape))
    bucket.check_unpack(0.7, Shape(*shape))


def test_other_addresses_in_the_next_call_are_the_ones_that_are_read(device):
    plugin, fused = device.plugin, device.empty(4000)
    for fill in (1.0, 2.0, 3.0):
        table = make_table([(device.array(np.full(1000, fill, np.float32)), 0, 1000)])
        move = make_move(table, fused, 1000, same(Dtype.FLOAT32))
        plugin.call("pack", move, 0)
        # The table is the caller's again as soon as the call has returned.
        table[0].tensor = 0
        plugin.call("synchronize_stream", 0)
        assert (device.read(fused, 1000, np.float32) == fill).all()


@pytest.mark.parametrize("tensors", [5, 2000])
def test_a_table_on_the_device_is_read_when_the_stream_comes_to_it(device, tensors):
    generator = np.random.default_rng(4)
    counts = generator.integers(1, 200, tensors)
    bucket = Bucket(device, counts, [1] * tensors, same(Dtype.FLOAT32))
    move = bucket.move(0.5)
    values = bucket.draw(Dtype.FLOAT32)
    plugin = device.plugin
    plugin.put(bucket.image(bucket.tensor_bytes, bucket.offsets, values), bucket.tensors)
    move.segments = device.array(np.frombuffer(move.table, np.uint8))
    move.is_table_on_device = 1
    plugin.call("pack", move, 0)
    want = bucket.image(bucket.fused_bytes, bucket.fused_places(), [v * 0.5 for v in values])
    found = device.read(bucket.fused, bucket.fused_bytes, np.uint8)
    np.testing.assert_array_equal(found, want)


def test_infinities_zeros_and_nan_survive_a_cast(device):
    special = np.array([np.inf, -np.inf, np.nan, -0.0, 0.0, 1e-45, 70000.0, -1e39], np.float64)
    with np.errstate(over="ignore"):
        values = special.astype(np.float32)
    fused = device.empty(64)
    table = make_table([(device.array(values), 0, len(values))])
    for dtype in (Dtype.FLOAT16, Dtype.BFLOAT16):
        device.plugin.call("pack", make_move(table, fused, 8, (Dtype.FLOAT32, dtype)), 0)
        back = make_table([(device.empty(64), 0, len(values))])
        move = make_move(back, fused, 8, (Dtype.FLOAT32, dtype))
        device.plugin.call("unpack", move, 0)
        found = device.read(back[0].tensor, 8, np.float32)
        np.testing.assert_array_equal(found[:3], values[:3])
        assert np.signbit(found[3])
        assert not np.signbit(found[4])
        assert found[5] == 0.0
        assert np.isinf(found[7])


@pytest.mark.parametrize(
    ("segments", "dtypes", "scale", "status"),
    [
        ([(1, 0, 8), (1, 4, 8)], same(Dtype.FLOAT32), 1.0, Status.BAD_SEGMENTS),
        ([(1, 64, 8), (1, 0, 8)], same(Dtype.FLOAT32), 1.0, Status.BAD_SEGMENTS),
        ([(1, 96, 8)], same(Dtype.FLOAT32), 1.0, Status.BAD_SEGMENTS),
        ([(0, 0, 8)], same(Dtype.FLOAT32), 1.0, Status.BAD_ARGUMENT),
        ([(1, 0, 8)], same(Dtype.INT32), 0.5, Status.BAD_TYPES),
        ([(1, 0, 8)], (Dtype.FLOAT32, Dtype.FLOAT64), 1.0, Status.BAD_TYPES),
        ([(1, 0, 8)], (Dtype.INT64, Dtype.INT32), 1.0, Status.BAD_TYPES),
    ],
)
def test_a_move_that_makes_no_sense_is_refused_before_anything_moves(
    device, segments, dtypes, scale, status
):
    memory = device.filled(1024, 0)
    table = make_table([(memory * given, first, count) for given, first, count in segments])
    move = make_move(table, memory, 100, dtypes, scale=scale)
    with pytest.raises(PluginError) as raised:
        device.plugin.call("pack", move, 0)
    assert raised.value.status == status
    assert (device.read(memory, 1024, np.uint8) == 0).all()


def test_more_elements_than_a_launch_can_count_are_refused(device):
    table = make_table([(device.empty(64), 0, 8)])
    move = make_move(table, device.empty(64), 2**31 + 1, same(Dtype.FLOAT32))
    with pytest.raises(PluginError, match="2\\^31 elements"):
        device.plugin.call("pack", move, 0)
