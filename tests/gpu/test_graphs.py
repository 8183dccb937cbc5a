"""Graphs: what a stream was given once is done again as a whole, and waits for flags anew."""

import numpy as np
import pytest

from bench.device.abi import Dtype
from bench.device.plugin import PluginError, make_move, make_sum, make_table

from ..ranks import until

COUNT = 5000
F32 = np.float32
SAME = (Dtype.FLOAT32, Dtype.FLOAT32)


@pytest.fixture
def record(device):
    """Make a graph of what a function gives to a stream."""
    graphs = []

    def record(stream, give):
        device.plugin.call("begin_graph", stream)
        give()
        graphs.append(device.plugin.end_graph(stream))
        return graphs[-1]

    yield record
    for graph in graphs:
        device.plugin.call("destroy_graph", graph)


def test_a_bucket_is_packed_summed_and_unpacked_by_each_launch(device, record):
    plugin, stream = device.plugin, device.stream()
    tensors = [device.array(np.full(COUNT, value, F32)) for value in (1.0, 2.0)]
    table = make_table([(tensor, k * COUNT, COUNT) for k, tensor in enumerate(tensors)])
    fused, other = (device.filled(4 * 2 * COUNT, 0) for _ in range(2))
    total = make_sum(fused, [fused, other], 2 * COUNT, Dtype.FLOAT32)

    def give():
        plugin.call("pack", make_move(table, fused, 2 * COUNT, SAME), stream)
        plugin.call("copy", other, fused, 4 * 2 * COUNT, stream)
        plugin.call("sum_peers", total, stream)
        plugin.call("unpack", make_move(table, fused, 2 * COUNT, SAME), stream)

    graph = record(stream, give)
    plugin.call("synchronize_stream", stream)
    assert (device.read(tensors[0], COUNT, F32) == 1.0).all()  # nothing was done so far
    for _ in range(3):
        plugin.call("launch_graph", graph, stream)
    plugin.call("synchronize_stream", stream)
    assert (device.read(tensors[0], COUNT, F32) == 8.0).all()
    assert (device.read(tensors[1], COUNT, F32) == 16.0).all()


def test_two_streams_pass_a_buffer_to_and_fro_by_flags_that_graphs_reset(device, record):
    # Values in a graph are those of its making, so flags cannot count: who has waited resets, and
    # a second flag tells that it has. Here one flag is each stream's own.
    plugin, streams = device.plugin, [device.stream() for _ in range(2)]
    flags = device.filled(512, 0)
    own = [flags, flags + 256]
    buffer = device.array(np.ones(COUNT, F32))
    double = make_sum(buffer, [buffer, buffer], COUNT, Dtype.FLOAT32)

    def give(rank):
        plugin.wait_flag(own[rank], 1, streams[rank])
        plugin.signal([own[rank]], 0, streams[rank])
        plugin.call("sum_peers", double, streams[rank])
        plugin.signal([own[1 - rank]], 1, streams[rank])

    graphs = [record(stream, lambda rank=rank: give(rank)) for rank, stream in enumerate(streams)]
    for _ in range(5):
        for graph, stream in zip(graphs, streams, strict=True):
            plugin.call("launch_graph", graph, stream)
    starter = device.stream()
    plugin.signal([own[0]], 1, starter)
    for stream in streams:
        plugin.call("synchronize_stream", stream)
    assert (device.read(buffer, COUNT, F32) == 2.0**10).all()


def test_a_wait_sees_what_its_own_stream_has_reset_before_it(device):
    # Or who resets a flag and waits for it again would find the value that it has reset.
    plugin, stream, other = device.plugin, device.stream(), device.stream()
    flag, large = device.filled(256, 0), device.filled(2**26, 0)
    events = [plugin.create_event() for _ in range(2)]
    plugin.signal([flag], 1, stream)
    plugin.wait_flag(flag, 1, stream)
    for byte in range(8):  # keeps the stream from the reset for a while
        plugin.call("fill", large, byte, 2**26, stream)
    plugin.signal([flag], 0, stream)
    plugin.call("record_event", events[0], stream)
    plugin.wait_flag(flag, 1, stream)
    plugin.call("record_event", events[1], stream)
    until(lambda: plugin.is_reached(events[0]))
    assert not plugin.is_reached(events[1])
    plugin.signal([flag], 1, other)
    plugin.call("synchronize_stream", stream)
    for event in events:
        plugin.call("destroy_event", event)


def test_a_graph_is_made_and_launched_while_another_stream_stands_still(device, gate, record):
    # One that stands still may wait for the very rank that makes the graph.
    stream, memory = device.stream(), device.filled(COUNT, 0)
    gate.close()
    graph = record(stream, lambda: device.plugin.call("fill", memory, 3, COUNT, stream))
    device.plugin.call("launch_graph", graph, stream)
    device.plugin.call("synchronize_stream", stream)
    gate.open()
    assert (device.read(memory, COUNT, np.uint8) == 3).all()


def test_a_signal_in_a_graph_is_silenced_as_any(device, record):
    plugin, stream = device.plugin, device.stream()
    words = device.filled(512, 0)
    graph = record(stream, lambda: plugin.signal([words], 7, stream, unless=words + 256))
    plugin.call("fill", words + 256, 1, 4, stream)
    plugin.call("launch_graph", graph, stream)
    plugin.call("synchronize_stream", stream)
    assert device.read(words, 1, np.uint32)[0] == 0


def test_what_was_launched_is_done_though_its_graph_is_gone(device, gate):
    plugin, stream = device.plugin, device.stream()
    memory, event = device.filled(COUNT, 0), plugin.create_event()
    plugin.call("begin_graph", stream)
    plugin.call("fill", memory, 3, COUNT, stream)
    graph = plugin.end_graph(stream)
    gate.close()
    plugin.call("record_event", event, gate.stream)
    plugin.call("wait_event", stream, event)
    plugin.call("launch_graph", graph, stream)
    plugin.call("destroy_graph", graph)
    gate.open()
    plugin.call("synchronize_stream", stream)
    plugin.call("destroy_event", event)
    assert (device.read(memory, COUNT, np.uint8) == 3).all()


def test_an_end_without_a_beginning_and_no_stream_are_refused(device):
    with pytest.raises(PluginError):
        device.plugin.end_graph(device.stream())
    for call in ("begin_graph", "destroy_graph"):
        with pytest.raises(PluginError, match="an argument is null"):
            device.plugin.call(call, 0)


def test_what_cannot_be_done_again_is_refused_while_a_graph_is_made(device):
    plugin, stream, event = device.plugin, device.stream(), device.plugin.create_event()
    plugin.call("begin_graph", stream)
    with pytest.raises(PluginError):
        plugin.call("synchronize_stream", stream)
    # CUDA has thrown away by now what the stream had been given.
    try:
        plugin.call("destroy_graph", plugin.end_graph(stream))
    except PluginError:
        assert plugin.kind == "cuda"
    plugin.call("record_event", event, stream)
    plugin.call("synchronize_stream", stream)
    assert plugin.is_reached(event)
    plugin.call("destroy_event", event)
