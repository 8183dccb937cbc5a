"""Order: within a stream, between streams by events, between ranks by flags; no host waits."""

import numpy as np
import pytest

from bench.device.abi import Dtype
from bench.device.plugin import make_move, make_sum, make_table

# Long enough for a race to show: milliseconds on a GPU, tens of them in the simulation.
COUNT = 1 << 21


@pytest.fixture
def gate(device):
    """A flag that holds streams back until a test opens it: no clock decides what is first."""
    return device.filled(256, 0)


class Slow:
    """Memory that a slow chain of sums fills with ones, in its last step."""

    def __init__(self, device):
        # Allocated before anything waits: a device may want to be idle for that.
        self.plugin = device.plugin
        self.ones = device.array(np.ones(COUNT, np.float32))
        self.memory = device.filled(4 * COUNT, 0)

    def start(self, stream):
        for sources in ([self.memory] * 2, [self.memory] * 2, [self.memory, self.ones]):
            structure = make_sum(self.memory, sources, COUNT, Dtype.FLOAT32)
            self.plugin.call("sum_peers", structure, stream)


def test_a_stream_works_in_order_without_a_wait_of_the_host(device, gate):
    plugin, stream, other, slow = device.plugin, device.stream(), device.stream(), Slow(device)
    fused, back = device.filled(2 * COUNT, 0), device.filled(4 * COUNT, 0)
    tables = [make_table([(memory, 0, COUNT)]) for memory in (slow.memory, back)]
    dtypes = (Dtype.FLOAT32, Dtype.BFLOAT16)
    plugin.wait_flag(gate, 1, stream)
    slow.start(stream)
    plugin.call("pack", make_move(tables[0], fused, COUNT, dtypes, scale=0.5), stream)
    plugin.call("unpack", make_move(tables[1], fused, COUNT, dtypes, scale=4.0), stream)
    plugin.signal([gate], 1, other)
    plugin.call("synchronize_stream", stream)
    assert (device.read(back, COUNT, np.float32) == 2.0).all()


def test_a_stream_goes_on_when_another_ones_event_is_reached(device, gate):
    plugin, producer, consumer = device.plugin, device.stream(), device.stream(is_urgent=True)
    other, slow, result = device.stream(), Slow(device), device.filled(4 * COUNT, 0)
    event = plugin.create_event()
    plugin.wait_flag(gate, 1, producer)
    slow.start(producer)
    plugin.call("record_event", event, producer)
    plugin.call("wait_event", consumer, event)
    plugin.call("copy", result, slow.memory, 4 * COUNT, consumer)
    assert not plugin.is_reached(event)
    plugin.signal([gate], 1, other)
    plugin.call("synchronize_stream", consumer)
    assert plugin.is_reached(event)
    plugin.call("destroy_event", event)
    assert (device.read(result, COUNT, np.float32) == 1.0).all()


def test_an_event_counts_as_reached_before_its_first_record(device):
    event = device.plugin.create_event()
    stream = device.stream()
    device.plugin.call("wait_event", stream, event)
    device.plugin.call("synchronize_stream", stream)
    assert device.plugin.is_reached(event)
    device.plugin.call("destroy_event", event)


def test_timed_events_tell_what_lies_between_them(device):
    plugin, stream, slow = device.plugin, device.stream(), Slow(device)
    start, end = (plugin.create_event(is_timed=True) for _ in range(2))
    plugin.call("record_event", start, stream)
    slow.start(stream)
    plugin.call("record_event", end, stream)
    plugin.wait_until(end, 20.0)
    assert 0.0 < plugin.elapsed_ms(start, end) < 20_000.0
    for event in (start, end):
        plugin.call("destroy_event", event)


@pytest.mark.parametrize("start", [0, 0x7FFFFFFE, 0xFFFFFFFD])
def test_flags_count_in_a_circle(device, start):
    plugin = device.plugin
    flag = device.array(np.array([start, 0], np.uint32))
    stream, waiting = device.stream(), device.stream()
    done = device.filled(4, 0)
    for step in range(1, 6):
        plugin.wait_flag(flag, start + step, waiting)
        plugin.call("fill", done, step, 4, waiting)
        plugin.signal([flag], start + step, stream)
        plugin.call("synchronize_stream", waiting)
        assert device.read(done, 4, np.uint8)[0] == step


def test_a_flag_that_is_behind_holds_a_stream_until_it_is_signalled(device, gate):
    plugin, stream = device.plugin, device.stream()
    event, other = plugin.create_event(), device.stream()
    plugin.wait_flag(gate + 64, 2, stream)
    plugin.call("record_event", event, stream)
    plugin.signal([gate, gate + 64], 1, other)
    plugin.call("synchronize_stream", other)
    with pytest.raises(TimeoutError, match=r"not reached within 0\.05 s"):
        plugin.wait_until(event, 0.05)
    plugin.signal([gate, gate + 64], 2, other)
    plugin.wait_until(event, 20.0)
    plugin.call("destroy_event", event)
    assert device.read(gate, 1, np.uint32)[0] == 2


def test_a_signal_writes_nothing_where_its_rank_has_given_up(device, gate):
    plugin, stream = device.plugin, device.stream()
    plugin.signal([gate], 1, stream, unless=gate + 128)
    plugin.call("fill", gate + 128, 1, 4, stream)
    plugin.signal([gate], 2, stream, unless=gate + 128)
    plugin.call("synchronize_stream", stream)
    assert device.read(gate, 1, np.uint32)[0] == 1


@pytest.mark.parametrize("default", [None, 1, 2])
def test_the_default_stream_has_cuda_s_names(device, default):
    plugin, event = device.plugin, device.plugin.create_event()
    memory = device.filled(4, 0)
    plugin.call("fill", memory, 7, 4, default)
    plugin.call("record_event", event, default)
    plugin.call("wait_event", default, event)
    plugin.call("synchronize_stream", default)
    assert plugin.is_reached(event)
    plugin.call("destroy_event", event)
    assert (device.read(memory, 4, np.uint8) == 7).all()
