"""Memory that peers may have open is used again by the engines that come after."""

import pytest

from bench.device.plugin import find_plugin

from ..processes.job import Jobs, require_ended
from .libraries import LOADED, PLUGINS

SCRIPT = """
import gc
from pathlib import Path

def large_pieces():
    # Of the simulated device's memory, whose owner alone holds it by a descriptor.
    found = 0
    for one in Path("/proc/self/fd").iterdir():
        try:
            is_there = "ringsync-hostsim" in str(one.readlink())
            found += is_there and one.stat().st_size >= 4 * 2**20
        except FileNotFoundError:  # that of the list itself
            pass
    return found

cp.asarray(np.zeros(1))  # takes memory for all arrays
BEFORE = large_pieces()

def fusion_buffers():
    gc.collect()
    return large_pieces() - BEFORE

def work():
    x = cp.asarray(np.full(20_000, RANK + 1, np.float32))
    for _ in range(3):  # by then ranks see each other's memory
        x = rs.allreduce(x)
    assert (x.get() == 1.5).all()

"""


@pytest.fixture
def run():
    made = Jobs()

    def run(script, **settings):
        ended = made.run(
            2,
            LOADED["stand-in"] + SCRIPT + script,
            limit_s=60.0,
            RINGSYNC_DEVICE_PLUGIN=PLUGINS["stand-in"],
            **settings,
        )
        require_ended(ended)
        return [one.said for one in ended]

    yield run
    made.close()


def test_rounds_of_init_and_shutdown_take_one_fusion_buffer(run):
    said = run(
        """
for _ in range(4):
    rs.init()
    work()
    rs.barrier()
    rs.shutdown()
    print(fusion_buffers())
"""
    )
    assert said == [["1"] * 4] * 2


def test_what_peers_may_yet_write_to_is_not_used_again(run):
    # Each rank announces a sum of its own that the other one never makes.
    said = run(
        """
for k in range(2):
    rs.init()
    work()
    try:
        rs.allreduce(cp.asarray(np.ones(20_000, np.float32)), name=f"only {RANK}", timeout_s=0.5)
    except (errors.TimedOutError, errors.PeerLostError):
        rs.shutdown()
    print(fusion_buffers())
"""
    )
    assert said == [["1", "2"]] * 2


def test_memory_of_a_peer_is_closed_on_the_device_that_it_was_opened_on(
    run, stand_in_library, tmp_path
):
    devices = tmp_path / "devices"
    run(
        f"""
from ringsync import runtime
runtime.plugin_path = lambda _: {stand_in_library!r}
rs.init()
work()
rs.shutdown()
fusion_buffers()
""",
        STAND_IN_FOR=str(find_plugin("hostsim")),
        STAND_IN_CLOSING=str(devices),
    )
    closed_on = devices.read_text().split()
    assert closed_on == ["0"] * 4  # on each of two ranks the other's fusion buffer and flags
