"""A step on a device waits for the other ranks, and for no device: its work is given to streams."""

import pytest

from ..processes.job import Jobs, require_ended
from .libraries import LOADED, PLUGINS

# Gradients that lie in their places, as a backward pass would leave them, and a stream that a flag
# holds back. NumPy, which computes for the stand-in, would not wait for that stream; so nothing is
# computed until it is let go.
SCRIPT = """
from ringsync.parallel import GradientReducer
from ringsync.parallel.device_space import DeviceSpace
from ringsync.parallel.layout import TensorSpec

SIZE, COUNT = 20_000, 4
rs.init()
plugin = Plugin(find_plugin("hostsim"))
flag, held, other = plugin.allocate(256), plugin.create_stream(), plugin.create_stream()
plugin.put(np.zeros(64, np.uint32), flag)

class Source:
    def __init__(self):
        self.gradients = [None] * COUNT
    def specs(self):
        return [TensorSpec(f"p{i}", (SIZE,), "float32", "cuda") for i in range(COUNT)]
    def space(self, device):
        return DeviceSpace()
    def values(self):
        return [np.zeros(SIZE, np.float32)] * COUNT
    def gradient(self, index):
        return self.gradients[index]
    def adopt(self, index, gradient):
        self.gradients[index] = gradient
    def is_elsewhere(self, index):
        return False
    def is_converted(self, index):
        return False
    def give(self, *indices):
        for i in indices:
            self.gradients[i] = reducer.views[i]
            reducer.views[i].fill(RANK + 1 + i)

source = Source()
reducer = GradientReducer(
    source, op=rs.Average, bucket_bytes=2**17, accumulate_steps=1, name="g"
)

def step():
    reducer.began()
    for i in reversed(range(COUNT)):
        if source.gradients[i] is not None:
            reducer.final(i)
    reducer.ended()

for _ in range(3):  # by then ranks see each other's memory
    source.give(*range(COUNT))
    step()
    reducer.reset()
reducer.take_stats()

def step_held_back():
    plugin.wait_flag(flag, 1, held)
    with cp.cuda.ExternalStream(held):
        step()
    rs.barrier()  # on which all ranks are held back, and have returned

def let_go():
    plugin.signal([flag], 1, other)
    plugin.call("synchronize_stream", held)
"""


@pytest.fixture
def run():
    made = Jobs()

    def run(script):
        ended = made.run(
            2,
            LOADED["stand-in"] + SCRIPT + script,
            limit_s=60.0,
            RINGSYNC_DEVICE_PLUGIN=PLUGINS["stand-in"],
        )
        require_ended(ended)
        return [one.said for one in ended]

    yield run
    made.close()


def test_a_step_returns_before_its_sums_are_made_and_they_are_right_once_they_are(run):
    said = run(
        """
source.give(*range(COUNT))
step_held_back()
assert [view.get()[0] for view in reducer.views] == [RANK + 1 + i for i in range(COUNT)]
let_go()
for i, view in enumerate(reducer.views):
    assert (view.get() == 1.5 + i).all()
reducer.reset()
print(reducer.take_stats().steps)
"""
    )
    assert said == [["1"], ["1"]]


def test_the_next_steps_are_given_to_the_device_before_it_has_made_the_first(run):
    # NumPy would write new gradients while those of the first step are still to be summed: the
    # results of one step are the gradients of the next.
    run(
        """
reducer = GradientReducer(
    source, op=rs.Sum, bucket_bytes=2**17, accumulate_steps=1, name="sums"
)
source.give(*range(COUNT))
for _ in range(3):
    step_held_back()
    reducer.reset()
assert [view.get()[0] for view in reducer.views] == [RANK + 1 + i for i in range(COUNT)]
let_go()
for i, view in enumerate(reducer.views):
    assert (view.get() == 4 * (3 + 2 * i)).all()
"""
    )


def test_what_ranks_lack_is_known_before_the_sums_are(run):
    run(
        """
source.gradients[:] = [None] * COUNT
if RANK == 0:
    source.give(1)
source.give(2)
step_held_back()
assert [gradient is None for gradient in source.gradients] == [True, False, False, True]
let_go()
assert (reducer.views[1].get() == 1.0).all()
assert (reducer.views[2].get() == 3.5).all()
"""
    )


def test_a_rank_that_dies_behind_a_step_that_has_returned_is_told_by_the_next_one(run):
    said = run(
        """
source.give(*range(COUNT))
step_held_back()
reducer.reset()
if RANK == 1:
    os._exit(0)
for call in (step, reducer.take_stats):
    try:
        call()
    except errors.PeerLostError as error:
        print(error.rank)
let_go()
"""
    )
    assert said == [["1", "1"], []]
