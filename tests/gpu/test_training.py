"""Training of several ranks on a device: gradients are exchanged where they lie."""

import re

import pytest

from ..processes.job import Jobs, require_ended
from .conftest import ROOT
from .libraries import LIBRARIES, LOADED, PLUGINS, require_cupy

# A small network on the digits in float64, so that only the order of sums tells runs apart.
LIBRARY = """
from ringsync import data, models, nn, optim
from ringsync.autograd import Parameter, Tensor

rs.init()
SIZE = rs.size()
DIGITS = data.digits().map(lambda x: x.astype(np.float64))

def wide(net):
    for one in net.parameters():
        one.data = one.data.astype(np.float64)
    return net

def make_net(seed=1):
    return wide(nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.relu, nn.MaxPool2d(2), nn.flatten, nn.Linear(36, 10)
    ).initialize(seed))

def train(net, device, steps, parts=1, weighted=False, **options):
    plain = optim.SGD(net.to(device).parameters(), lr=0.05, momentum=0.9)
    optimizer = rs.DistributedOptimizer(plain, weighted=weighted, **options)
    own = DIGITS.to(device).shard(RANK, SIZE)
    taken = 0
    while taken < steps:
        for x, y in own.batches(64, shuffle=taken):
            optimizer.zero_grad()
            if weighted:  # one rank leaves out some of its batch
                x, y = x[RANK:], y[RANK:]
            for part in range(parts):
                rows = slice(part, None, parts)
                nn.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step(**({"weight": len(x)} if weighted else {}))
            taken += 1
            if taken == steps:
                break
    return optimizer

def require_equal(net, other, near):
    pairs = zip(net.state_dict().items(), other.state_dict().values(), strict=True)
    for (name, value), expected in pairs:
        np.testing.assert_allclose(value, expected, rtol=near, atol=near, err_msg=name)

def require_bit_equal_on_ranks(net):
    for name, value in net.state_dict().items():
        every = rs.allgather(value[None])
        assert (every == every[0]).all(), name
"""


@pytest.fixture(params=LIBRARIES)
def run(request):
    if request.param == "cupy":
        require_cupy()
    made = Jobs()

    def run(size, script, library=LIBRARY):
        ended = made.run(
            size,
            LOADED[request.param] + library + script,
            limit_s=100.0,
            RINGSYNC_DEVICE_PLUGIN=PLUGINS[request.param],
        )
        require_ended(ended)
        return [one.said for one in ended]

    yield run
    made.close()


def test_two_ranks_train_as_one_rank_with_the_whole_batch(run):
    script = """
net = make_net()
optimizer = train(net, "cuda", steps=200)
assert all(isinstance(one.data, cp.ndarray) for one in net.parameters())
require_bit_equal_on_ranks(net)
stats = optimizer.take_stats()
assert stats.steps == (200 if SIZE > 1 else 0)
print(*(repr(float(value.sum())) for value in net.state_dict().values()))
"""
    alone, together = run(1, script)[0], run(2, script)
    assert together[0] == together[1]  # bit for bit
    for one, other in zip(alone[0].split(), together[0][0].split(), strict=True):
        assert float(one) == pytest.approx(float(other), rel=1e-8)


@pytest.mark.parametrize(
    "options",
    [
        "",
        "parts=2, accumulate_steps=2",
        "weighted=True",
        "op=rs.Sum",
        "bucket_mib=1e-3",
        "group=rs.new_group([0, 1])",
    ],
)
def test_every_way_to_exchange_gives_what_it_gives_on_the_host(run, options):
    run(
        2,
        f"""
there, here = make_net(), make_net()
train(there, "cuda", 8, {options})
train(here, "cpu", 8, {options})
require_equal(there, here, near=1e-9)
require_bit_equal_on_ranks(there)
""",
    )


def test_gradients_that_some_ranks_or_all_lack_are_those_of_the_host(run):
    run(
        2,
        """
def loss_of(parameters, *used):
    return sum((parameters[i] * parameters[i]).sum() for i in used) * float(RANK + 1)

DTYPES = ["f2", "f4", "f8", "f4", "f8"]
results = []
for move in (cp.asarray, np.copy):
    values = (np.full(500, 1 + i, dtype) for i, dtype in enumerate(DTYPES))
    parameters = [Parameter(move(one), f"p{i}") for i, one in enumerate(values)]
    optimizer = rs.DistributedOptimizer(optim.SGD(parameters, lr=0.1, weight_decay=0.1))
    for step in range(3):
        optimizer.zero_grad()
        used = (0, 1, 2) if RANK == 0 else (1, 3)
        loss_of(parameters, *used, *([4] if step == 1 else [])).backward()
        assert (parameters[4].grad is None) == (step != 1)
        optimizer.step()
    results.append([Tensor(one.data).to("cpu").data for one in parameters])
for there, here in zip(*results):
    assert there.dtype == here.dtype
    np.testing.assert_allclose(there, here, rtol=4 * np.finfo(here.dtype).eps)
assert (results[0][4] < 5.0).all()
""",
    )


def test_a_rank_that_joins_early_leaves_the_others_to_go_on(run):
    run(
        2,
        """
there, here = make_net(), make_net()
for net, device in ((there, "cuda"), (here, "cpu")):
    train(net, device, 5 if RANK == 0 else 2)
    assert rs.join() == 0
require_equal(there, here, near=1e-9)
""",
    )


def test_what_a_root_has_is_broadcast_to_devices(run):
    run(
        2,
        """
net = make_net(seed=RANK).to("cuda")
optimizer = optim.SGD(net.parameters(), lr=0.1 * (RANK + 1), momentum=0.9)
nn.cross_entropy(net(DIGITS.to("cuda").x[:8]), DIGITS.to("cuda").y[:8]).backward()
optimizer.step()
rs.broadcast_parameters(net, root=1)
rs.broadcast_optimizer_state(optimizer, root=1)
require_bit_equal_on_ranks(net)
assert optimizer.lr == 0.2
for name, value in optimizer.state_dict().items():
    if isinstance(value, np.ndarray):
        every = rs.allgather(value[None])
        assert (every == every[1]).all() and np.abs(value).sum() > 0, name
optimizer = rs.DistributedOptimizer(optimizer)
nn.cross_entropy(net(DIGITS.to("cuda").x[:8]), DIGITS.to("cuda").y[:8]).backward()
optimizer.step()
require_bit_equal_on_ranks(net)
""",
    )


def test_parameters_of_host_and_device_share_an_optimizer_and_no_bucket(run):
    run(
        2,
        """
pairs = [[make_net(seed), make_net(seed)] for seed in (1, 2)]
for (first, second), device in zip(zip(*pairs), ("cuda", "cpu")):
    second.to(device)
    parameters = [*first.parameters(), *second.parameters()]
    optimizer = rs.DistributedOptimizer(optim.SGD(parameters, lr=0.1), accumulate_steps=2)
    for step in range(5):
        optimizer.zero_grad()
        for net, place in ((first, "cpu"), (second, device)):
            set = DIGITS.to(place)
            rows = slice(2 * step + RANK, None, 50)
            nn.cross_entropy(net(set.x[rows]), set.y[rows]).backward()
        optimizer.step()
    for bucket in optimizer._reducer._arena.buckets:
        kinds = {parameters[index].device for index in bucket.members}
        assert len(kinds) <= 1, (bucket.name, kinds)
for net, other in pairs:
    require_equal(net, other, near=1e-9)
    require_bit_equal_on_ranks(net)
""",
    )


def test_ranks_that_hold_a_parameter_on_unlike_devices_are_told_its_name(run):
    said = run(
        2,
        """
net = models.mlp([4, 3]).to("cuda" if RANK else "cpu")
x = Tensor(np.ones((2, 4), np.float32)).to("cuda" if RANK else "cpu")
optimizer = rs.DistributedOptimizer(optim.SGD(net.parameters(), lr=0.1))
for call in (lambda: net(x).sum().backward(), lambda: rs.broadcast_parameters(net)):
    try:
        call()
    except errors.MismatchError as error:
        print(error)
print(rs.allreduce(np.ones(1))[0])
""",
    )
    differ = "'0.weight' (3, 4) float32 on cuda, rank 0 holds '0.weight' (3, 4) float32 on cpu"
    assert said == [[
        f"[gradients.0] rank 1 holds {differ}. Build the same model on all ranks.",
        f"[broadcast_parameters] rank 1 holds {differ}. Build the same model on all ranks.",
        "1.0",
    ]] * 2  # fmt: skip


def test_a_network_that_moves_once_it_is_wrapped_is_told_to_move_before(run):
    said = run(
        2,
        """
net = models.mlp([4, 3])
optimizer = rs.DistributedOptimizer(optim.SGD(net.parameters(), lr=0.1))
x = Tensor(np.ones((2, 4), np.float32))
net.to("cuda")
try:
    net(x.to("cuda")).sum().backward()
except errors.ConfigError as error:
    print(error)
optimizer.zero_grad()
net.to("cpu")
net(x).sum().backward()
optimizer.step()
print(net.parameters()[1].data.tolist() == [np.float32(-0.2)] * 3)
""",
    )
    assert said == [[
        "[DistributedOptimizer] '0.bias': its gradient lies on cuda, and it lay on cpu when it was "
        "wrapped. Wrap an optimizer after its network is on its device.",
        "True",
    ]] * 2  # fmt: skip


def test_a_rank_that_dies_in_the_midst_of_training_is_told_by_name(run):
    said = run(
        2,
        """
net = make_net()
train(net, "cuda", 2)
if RANK == 1:
    print("gone", flush=True)
    os._exit(0)
try:
    train(net, "cuda", 2)
except errors.PeerLostError as error:
    print(error.rank)
""",
    )
    assert said == [["1"], ["gone"]]


def test_the_example_learns_the_digits_on_a_device(run):
    said = run(
        2,
        f"""
import runpy, sys
sys.argv = ["train_cnn.py", "--device", "cuda", "--epochs", "3"]
runpy.run_path({str(ROOT / "examples" / "train_cnn.py")!r}, run_name="__main__")
""",
        library="",
    )
    assert said[1] == []
    assert float(re.search(r"epoch 3: loss .*, test accuracy ([\d.]+)%", said[0][-1])[1]) > 85.0
