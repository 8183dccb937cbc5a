"""Arrays on devices as scripts pass them: several processes, through the public functions."""

import json

import pytest

from ..processes.job import Jobs, require_ended
from .conftest import ROOT

# What a script has in place of a library: memory of the plug-in itself.
LIBRARY = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from bench.device.plugin import Plugin, find_plugin
from tests.gpu.arrays import Device, OnDevice, values_in
KIND = os.environ["RINGSYNC_DEVICE_PLUGIN"]
DEVICE = Device(Plugin(find_plugin(KIND)))

def there(values):
    return OnDevice(DEVICE, np.asarray(values, np.float32))

def here(result):
    return values_in(DEVICE, result, np.float32).tolist()

rs.init()
SIZE = rs.size()
"""


@pytest.fixture
def run(plugin):
    made = Jobs()

    def run(size, script):
        ended = made.run(size, LIBRARY + script, RINGSYNC_DEVICE_PLUGIN=plugin.kind)
        require_ended(ended)
        return [one.said for one in ended]

    run.jobs = made
    yield run
    made.close()


def test_every_public_function_takes_them(run):
    said = run(
        2,
        """
X = lambda: there([RANK + 1.0, 2.0 * RANK])
assert here(rs.allreduce(X())) == [1.5, 1.0]
assert here(rs.allreduce_(X(), op=rs.Sum)) == [3.0, 2.0]
assert here(rs.allreduce_async(X(), name="a").result()) == [1.5, 1.0]
assert here(rs.allreduce_async_(X(), prescale=2.0).result()) == [3.0, 2.0]
for call in (rs.grouped_allreduce, rs.grouped_allreduce_):
    assert [here(x) for x in call([X(), X()])] == [[1.5, 1.0]] * 2
assert [here(x) for x in rs.grouped_allreduce_async_([X()], name="g").result()] == [[1.5, 1.0]]
assert here(rs.allgather(X())) == [1.0, 0.0, 2.0, 2.0]
assert here(rs.allgather_async(X()).result()) == [1.0, 0.0, 2.0, 2.0]
assert here(rs.broadcast(X(), 1)) == [2.0, 2.0]
assert here(rs.broadcast_(X(), 1)) == [2.0, 2.0]
assert here(rs.broadcast_async_(X(), 0).result()) == [1.0, 0.0]
assert here(rs.reduce_scatter(X())) == [[1.5], [1.0]][RANK]
assert here(rs.reduce_scatter_async(X(), op=rs.Sum).result()) == [[3.0], [2.0]][RANK]
assert [here(x) for x in rs.grouped_allreduce_async([X()]).result()] == [[1.5, 1.0]]
assert here(rs.broadcast_async(X(), 1).result()) == [2.0, 2.0]
assert here(rs.alltoall(X())) == [[1.0, 2.0], [0.0, 2.0]][RANK]
assert here(rs.alltoall_async(X()).result()) == [[1.0, 2.0], [0.0, 2.0]][RANK]
assert here(rs.alltoall(X(), [2, 0] if RANK else [0, 2])) == [[2.0, 2.0], [1.0, 0.0]][RANK]
x = X()
if RANK == 0:
    rs.send(x, 1)
else:
    assert here(rs.recv(x, 0)) == [1.0, 0.0]
y = X()
handle = rs.send_async(y, 1) if RANK == 0 else rs.recv_async(y, 0)
handle.wait()
assert here(y) == [1.0, 0.0]
weights = {"w": X(), "b": np.full(3, RANK)}
rs.broadcast_parameters(weights, root=1)
assert here(weights["w"]) == [2.0, 2.0] and weights["b"].tolist() == [1, 1, 1]
pair = rs.new_group([0, 1])
assert here(rs.allreduce_(X(), group=pair)) == [1.5, 1.0]
x = X()
assert here(rs.allreduce(x)) == [1.5, 1.0] and here(x) == [RANK + 1.0, 2.0 * RANK]
big = there(np.full(300_000, RANK + 1.0))
rs.allreduce_(big)
assert set(here(big)) == {1.5}
print("all")
""",
    )
    assert said == [["all"]] * 2


def test_what_cannot_be_used_is_refused_in_one_sentence_and_nothing_is_left_behind(run):
    said = run(
        2,
        """
class Odd(OnDevice):
    facts = {}
    __cuda_array_interface__ = property(
        lambda self: OnDevice.__cuda_array_interface__.fget(self) | self.facts
    )

def told(call, **facts):
    x = Odd(DEVICE, np.ones((2, 3), np.float32))
    x.facts = facts
    try:
        call(x)
    except errors.ConfigError as error:
        print(error)

told(rs.allreduce_, strides=(4, 8))
told(rs.allreduce_, typestr="<c8")
told(rs.allreduce_, typestr="<V2")
told(rs.allreduce_, data=(1, True))
told(rs.allgather, mask=object())
told(rs.allreduce_, data=(2**40, False))
assert here(rs.allreduce(there([RANK]))) == [0.5]
""",
    )
    dtypes = "float16, bfloat16, float32, float64, int8, int16, int32, int64, uint8, bool"
    expected = [
        "[allreduce_] the Odd of shape (2, 3) has strides (4, 8); a C-contiguous one is expected "
        "on a device. Pass a copy of it, as ascontiguousarray() makes one.",
        *(
            f"[allreduce_] dtype {text} is not supported; one of {dtypes} is expected. Convert it "
            "with astype()."
            for text in ("<c8", "<V2")
        ),
        "[allreduce_] the Odd of shape (2, 3) is read-only, and this call writes its result into "
        "it. Pass a copy.",
        "[allgather] 'Odd' is no array that can be used, because masks do not travel. Pass its "
        "filled().",
    ]
    for rank, lines in enumerate(said):
        assert lines[:-1] == expected
        assert lines[-1] == (
            f"[allreduce] the array lies on no device, and rank {rank} works on device 0. Use one "
            "device for each rank, that of its local rank."
        )


def test_a_rank_that_dies_is_told_by_name_while_arrays_are_in_flight(run):
    said = run(
        3,
        """
rs.allreduce_(there([1.0]))
if RANK == 1:
    print("gone", flush=True)
    os._exit(0)
try:
    for _ in range(1000):
        rs.allreduce_(there(np.ones(200_000)))
except errors.PeerLostError as error:
    print(error.rank)
""",
    )
    assert said == [["1"], ["gone"], ["1"]]


def test_a_rank_that_dies_amid_repeated_runs_is_told_by_name(run):
    # From the third time on a run is one launch, which ends as its calls would.
    said = run(
        3,
        """
x = there(np.ones(200_000))
for _ in range(9):
    rs.allreduce_(x)
handles = [rs.allreduce_async_(there(np.ones(200_000)), name=str(k)) for k in range(6)]
if RANK == 1:
    print("gone", flush=True)
    os._exit(0)
try:
    for handle in handles:
        handle.wait()
    for _ in range(1000):
        rs.allreduce_(x)
except errors.PeerLostError as error:
    print(error.rank)
""",
    )
    assert said == [["1"], ["gone"], ["1"]]


def timeline_of(run, folder, script):
    """What is recorded of each array by name: lanes and events."""
    run(
        2,
        f"""
rs.start_timeline({str(folder)!r})
LARGE = np.ones(100_000)
{script}
rs.stop_timeline()
""",
    )
    told = {}
    for path in folder.iterdir():
        for event in json.loads(path.read_text())["events"]:
            told.setdefault(event["args"].get("tensor"), set()).add((event["lane"], event["name"]))
    return told


BY_THE_HOST = {("device", "fetch"), ("engine", "agree"), ("engine", "run"), ("device", "deliver")}
THERE = {("engine", "agree"), ("device", "pack"), ("device", "run")}
BACK = {("device", "unpack")}


def test_a_small_array_goes_by_the_host_and_the_timeline_shows_its_ways(run, tmp_path):
    told = timeline_of(run, tmp_path, "rs.allreduce_(there(np.ones(1_000)), name='x')")
    assert told["x"] - {("train", "wait")} == BY_THE_HOST


@pytest.mark.parametrize(
    ("call", "back"),
    [("allreduce_", BACK), ("allgather", set()), ("reduce_scatter", set()), ("alltoall", set())],
)
def test_a_large_array_stays_where_it_is(run, tmp_path, call, back):
    told = timeline_of(run, tmp_path, f"rs.{call}(there(LARGE), name='x')")
    assert told["x"] - {("train", "wait")} == THERE | back


def test_small_arrays_of_one_call_stay_together(run, tmp_path):
    told = timeline_of(
        run,
        tmp_path,
        """
for step in range(6):
    xs = [there(np.full(n, RANK + n)) for n in (3, 5_000, 0, 1, 70_000, 20)]
    rs.grouped_allreduce_(xs, op=rs.Sum, name=f"g{step}")
    assert [set(here(x)) for x in xs] == [{7.0}, {10_001.0}, set(), {3.0}, {140_001.0}, {41.0}]
""",
    )
    for step in (0, 5):  # by single calls, and as a graph
        for i in (0, 1, 3, 4, 5):
            assert told[f"g{step}.{i}"] - {("train", "wait")} == THERE | BACK, i


def test_a_large_array_that_is_late_holds_up_nothing_behind_it(run):
    said = run(
        2,
        """
FLAG, LATE, OTHER = DEVICE.filled(256, 0), DEVICE.stream(), DEVICE.stream()
rs.allreduce_(there(np.ones(100_000)))  # the first one sets up what the next ones share
DEVICE.plugin.wait_flag(FLAG, 1, LATE)
late = OnDevice(DEVICE, np.full(100_000, RANK, np.float32), stream=LATE)
first = rs.allreduce_async_(late)
print(rs.allreduce(np.ones(8), op=rs.Sum)[0])
print(here(rs.allreduce_(there([RANK]))))
print(first.done())
DEVICE.plugin.signal([FLAG], 1, OTHER)
first.wait()
print(set(here(late)))
""",
    )
    assert said == [["2.0", "[0.5]", "False", "{0.5}"]] * 2


def test_a_forked_child_uses_none_of_it_and_ends_well(run):
    said = run(
        2,
        """
x = there([1.0])
rs.allreduce_(x)
if (child := os.fork()) == 0:
    require_inert(lambda: rs.allreduce_(x))
    os._exit(0)
print(os.waitpid(child, 0)[1])
rs.allreduce_(x)
""",
    )
    assert said == [["0"], ["0"]]
