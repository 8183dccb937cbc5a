"""CuPy's arrays on a GPU: what scripts that compute with CuPy get from ringsync."""

from importlib.util import find_spec

import pytest

from ..processes.job import Jobs, require_ended

pytestmark = pytest.mark.gpu


@pytest.fixture
def run():
    if find_spec("cupy") is None:  # on a machine that has a GPU
        pytest.skip("CuPy is not installed")
    made = Jobs()

    def run(size, script):
        ended = made.run(size, "import cupy as cp\n" + script, limit_s=100.0)
        require_ended(ended)
        return [one.said for one in ended]

    yield run
    made.close()


def test_results_are_cupy_arrays_of_the_same_dtype(run):
    said = run(
        2,
        """
rs.init()
for dtype in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1"):
    x = cp.arange(6, dtype=dtype) + RANK
    for result in (rs.allreduce(x, op=rs.Sum), rs.allgather(x), rs.reduce_scatter(x, op=rs.Sum),
                   rs.alltoall(x), rs.broadcast(x, 1), rs.allreduce_(x.copy(), op=rs.Max)):
        assert type(result) is cp.ndarray and result.dtype == x.dtype, (dtype, type(result))
    total = rs.allreduce(x, op=rs.Sum)
    assert (total == 2 * cp.arange(6) + 1).all()
    assert (x == cp.arange(6) + RANK).all()
strided = cp.arange(12, dtype="f4").reshape(3, 4)
try:
    rs.allreduce_(strided.T)
except errors.ConfigError as error:
    print(str(error).partition("; ")[0])
""",
    )
    assert said == [["[allreduce_] the ndarray of shape (4, 3) has strides (4, 16)"]] * 2


def test_a_busy_stream_is_waited_for_without_a_word(run):
    run(
        2,
        """
rs.init()
a = cp.full((3000, 3000), 1e-3, dtype="f4")
for kind in ({}, {"non_blocking": True}):
    stream = cp.cuda.Stream(**kind)
    with stream:
        b = a
        for _ in range(30):
            b = b @ a / 3
        x = cp.zeros(1_000_000, "f4")
        x += cp.isfinite(b).all() * (RANK + 1.0)
        handle = rs.allreduce_async_(x, op=rs.Sum)
    handle.wait()
    assert (x == 3.0).all()
""",
    )


def test_two_ranks_on_one_gpu_train_as_one_rank_with_the_whole_batch(run):
    # By hand, in float64: 200 steps of a perceptron with one hidden layer.
    training = """
rs.init()
generator = cp.random.default_rng(7)
inputs = generator.standard_normal((64, 20))
targets = cp.sin(inputs @ generator.standard_normal((20, 3)))
first = 0.1 * generator.standard_normal((20, 30))
second = 0.1 * generator.standard_normal((30, 3))
rows = slice(RANK, None, rs.size())
x, y = inputs[rows], targets[rows]
for _ in range(200):
    hidden = cp.tanh(x @ first)
    error = (hidden @ second - y) / len(x)
    gradients = [x.T @ ((error @ second.T) * (1 - hidden**2)), hidden.T @ error]
    rs.grouped_allreduce_(gradients)
    first -= 0.3 * gradients[0]
    second -= 0.3 * gradients[1]
print(float(cp.abs(first).sum()), float(cp.abs(second).sum()))
"""
    alone = run(1, training)
    together = run(2, training)
    assert together[0] == together[1]  # bit for bit
    for one, other in zip(alone[0][0].split(), together[0][0].split(), strict=True):
        assert float(one) == pytest.approx(float(other), rel=1e-9)


def test_bfloat16_of_ml_dtypes_travels(run):
    run(
        2,
        """
import ml_dtypes
rs.init()
x = cp.ones(10, dtype=ml_dtypes.bfloat16)
total = rs.allreduce(x, op=rs.Sum)
assert total.dtype == x.dtype and (total.astype("f4") == 2).all()
""",
    )


def test_a_killed_rank_is_told(run):
    said = run(
        3,
        """
rs.init()
rs.allreduce_(cp.ones(5))
if RANK == 2:
    print("gone", flush=True)
    os._exit(0)
try:
    while True:
        rs.allreduce_(cp.ones(1_000_000))
except errors.PeerLostError as error:
    print(error.rank)
""",
    )
    assert said == [["2"], ["2"], ["gone"]]
