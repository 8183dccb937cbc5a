"""Gradients that live in several spaces: each is reached through its own, and buckets never mix."""

import numpy as np

# A source of six parameters, every second one in a space that notes what is done there. Its memory
# is the host's, but only `argument` tells the engine so.
SCRIPT = """
from ringsync.parallel import HOST, GradientReducer
from ringsync.parallel.layout import TensorSpec

SIZE = 1000

class Hidden:
    # Memory that nobody can read but its space.
    def __init__(self, array):
        self.array = array
    def __getitem__(self, part):
        return Hidden(self.array[part])
    def reshape(self, shape):
        return Hidden(self.array.reshape(shape))
    nbytes = property(lambda self: self.array.nbytes)

class Far:
    def __init__(self):
        self.calls = []
    def zeros(self, count, dtype):
        return Hidden(HOST.zeros(count, dtype))
    def __getattr__(self, name):
        def call(*places):
            self.calls.append(name)
            plain = [one.array if isinstance(one, Hidden) else one for one in places]
            return getattr(HOST, name)(*plain)
        return call

class Source:
    def __init__(self, devices):
        self.devices, self.far = devices, Far()
        self.gradients = [None] * len(devices)
    def specs(self):
        return [TensorSpec(f"p{i}", (SIZE,), "float32", d) for i, d in enumerate(self.devices)]
    def space(self, device):
        return HOST if device == "cpu" else self.far
    def values(self):
        return (np.zeros(SIZE, np.float32) for _ in self.devices)
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
            mine = np.full(SIZE, float(rs.rank() + 1 + i), np.float32)
            self.gradients[i] = mine if self.devices[i] == "cpu" else Hidden(mine)

def make(devices, **options):
    source = Source(devices)
    options = dict(op=rs.Average, bucket_bytes=4 * SIZE, accumulate_steps=1, name="g") | options
    return source, GradientReducer(source, **options)

def shown(gradient):
    return gradient.array if isinstance(gradient, Hidden) else gradient
"""

MIXED = "source, reducer = make(['cpu', 'far'] * 3"


def test_gradients_of_several_spaces_are_averaged_where_they_live(on_ranks):
    body = f"""
{MIXED})
source.give(*range(6))
reducer.finish()
for i, gradient in enumerate(source.gradients):
    assert isinstance(gradient, Hidden) == (i % 2 == 1) and gradient is reducer.views[i]
save(g=np.stack([shown(one) for one in source.gradients]))
"""
    ran = on_ranks(2, SCRIPT + body)
    assert ran.code == 0, ran.output
    for rank in ran.ranks:
        np.testing.assert_array_equal(rank["g"][:, 0], 1.5 + np.arange(6))


def test_weights_and_absent_gradients_hold_in_every_space(on_ranks):
    body = f"""
{MIXED}, is_weighted=True)
source.give(*((0, 1, 2, 3) if rs.rank() == 0 else (2, 3)))
reducer.finish(weight=1 + 2 * rs.rank())
assert source.gradients[4] is None and source.gradients[5] is None
save(g=np.stack([shown(one) for one in source.gradients[:4]]))
"""
    ran = on_ranks(2, SCRIPT + body)
    assert ran.code == 0, ran.output
    for rank in ran.ranks:  # a quarter of rank 0's and three of rank 1's
        np.testing.assert_array_equal(rank["g"][:, 0], [0.25, 0.5, 3.75, 4.75])


def test_what_a_space_is_asked_for_grows_with_buckets_and_nothing_is_read_there(on_ranks):
    body = """
source, reducer = make(["far"] * 8, bucket_bytes=2**30)
source.give(*range(8))
reducer.finish()
calls = source.far.calls
buckets = len(reducer._arena.buckets) - 1  # and one for presence, on the host
assert calls.count("stream") == calls.count("argument") == buckets < 8
assert calls.count("copy") == 8 and set(calls) == {"stream", "argument", "copy"}
"""
    ran = on_ranks(2, SCRIPT + body)
    assert ran.code == 0, ran.output


def test_presence_of_gradients_in_several_spaces_is_one_small_call(on_ranks):
    body = """
for devices, count in ((["cpu"] * 4, 0), (["cpu", "far"] * 3, 3), (["far"] * 5, 5)):
    source, reducer = make(devices, name=f"{count}")
    apart = [one for one in reducer._arena.buckets if not one.members]
    assert [one.memory.size for one in apart] == [count] * bool(count)
"""
    ran = on_ranks(2, SCRIPT + body)
    assert ran.code == 0, ran.output


def test_ranks_that_hold_a_parameter_in_unlike_spaces_are_told_its_name(on_ranks):
    body = """
source, reducer = make(["cpu", "cpu" if rs.rank() == 0 else "far", "cpu"])
try:
    reducer.finish()
except errors.MismatchError as error:
    save(message=str(error))
"""
    ran = on_ranks(2, SCRIPT + body)
    assert ran.code == 0, ran.output
    assert [str(rank["message"]) for rank in ran.ranks] == [
        "[g] rank 1 holds 'p1' (1000,) float32 on far, rank 0 holds 'p1' (1000,) float32 on cpu. "
        "Build the same model on all ranks."
    ] * 2
