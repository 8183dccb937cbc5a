"""Every collective of ringsync.torch on tensors on a device: the host's values, on the device."""

import sys

import cloudpickle
import pytest

torch = pytest.importorskip("torch")

import ringsync.torch as hvd  # noqa: E402 - once torch has been asked for
from ringsync.torch import devices  # noqa: E402 - likewise

from .torch_device import Stream  # noqa: E402 - likewise

cloudpickle.register_pickle_by_value(sys.modules[__name__])

DTYPES = [
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8, torch.int8,
    torch.int16, torch.int32, torch.int64,
]  # fmt: skip

# What is carried, and what is packed where it lies.
SIZES = (0, 1, 5, 40_000)


def own(size, dtype=torch.float32, columns=2):
    """This rank's values: small whole numbers, of which sums are exact."""
    generator = torch.Generator().manual_seed(hvd.rank())
    return torch.randint(0, 5, (size, columns), generator=generator).to(dtype)


def require_alike(device, results, expected):
    """Results on the device have the values and the form of those on the host."""
    for result, value in zip(results, expected, strict=True):
        assert device.is_there(result) or not result.numel()
        assert result.dtype is value.dtype
        assert torch.equal(result.cpu(), value)


FORMS = {
    "allreduce": hvd.allreduce,
    "allreduce by a name": lambda x: hvd.allreduce(x, name="x", op=hvd.Sum, prescale_factor=2.0),
    "allreduce_": lambda x: hvd.allreduce_(x.clone(), op=hvd.Max),
    "allreduce_ of columns": lambda x: hvd.allreduce_(x.clone().t(), op=hvd.Sum),
    "allreduce_async": lambda x: hvd.synchronize(hvd.allreduce_async(x, op=hvd.Sum)),
    "allreduce_async_": lambda x: hvd.synchronize(hvd.allreduce_async_(x.clone(), op=hvd.Min)),
    "broadcast": lambda x: hvd.broadcast(x, 1),
    "broadcast_": lambda x: hvd.broadcast_(x.clone(), 1),
    "allgather": hvd.allgather,
    "allgather of unlike rows": lambda x: hvd.allgather(x[: len(x) // (1 + hvd.rank())]),
    "alltoall": lambda x: hvd.alltoall(torch.cat([x, x])),
    "alltoall of some": lambda x: hvd.alltoall(x, [0, len(x)])[0],
    "reducescatter": lambda x: hvd.reducescatter(x, op=hvd.Sum),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_result_has_the_values_of_the_host_and_lies_on_the_device(ranks, form):
    def work(device):
        for dtype in DTYPES:
            for size in SIZES:
                x = own(size, dtype)
                require_alike(device, [FORMS[form](device.there(x))], [FORMS[form](x)])

    ranks(2, work)


GROUPED = {
    "grouped_allreduce": hvd.grouped_allreduce,
    "grouped_allreduce_": lambda xs: hvd.grouped_allreduce_([x.clone() for x in xs]),
    "grouped_allgather": hvd.grouped_allgather,
    "grouped_reducescatter": hvd.grouped_reducescatter,
}


@pytest.mark.parametrize("form", GROUPED)
def test_a_group_may_lie_on_the_host_and_on_the_device(ranks, form):
    def work(device):
        call = GROUPED[form]
        xs = [own(3), own(40_000), own(5, torch.bfloat16)]
        expected = call(xs)
        require_alike(device, call([*map(device.there, xs)]), expected)
        mixed = call([xs[0], device.there(xs[1]), xs[2]])
        assert [device.is_there(one) for one in mixed] == [False, True, False]
        assert all(torch.equal(a.cpu(), b) for a, b in zip(mixed, expected, strict=True))

    ranks(2, work)


@pytest.mark.parametrize("op", [hvd.Average, hvd.Sum])
def test_sparse_tensors_stay_on_the_device(ranks, op):
    def work(device):
        indices = torch.tensor([[0, 2 + hvd.rank()]])
        x = torch.sparse_coo_tensor(indices, torch.ones(2, 3), (5, 3), check_invariants=False)
        there = torch.sparse_coo_tensor(
            device.there(indices), device.there(torch.ones(2, 3)), (5, 3), check_invariants=False
        )
        expected = hvd.sparse_allreduce_async(x, "host", op)().to_dense()
        result = hvd.sparse_allreduce_async(there, "device", op)()
        assert device.is_there(result)
        assert torch.equal(result.to_dense().cpu(), expected)

    ranks(2, work)


@pytest.mark.parametrize("form", [hvd.Compression.fp16, hvd.Compression.bf16])
def test_compressed_tensors_come_back_as_they_were(ranks, form):
    def work(device):
        x = own(1_000)
        expected = hvd.allreduce(x, compression=form)
        require_alike(device, [hvd.allreduce(device.there(x), compression=form)], [expected])

    ranks(2, work)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,)])
def test_adasum_of_tensors_on_the_device_is_that_of_the_host(ranks, shape):
    def work(device):
        x = torch.full(shape, 1.0 + hvd.rank())
        expected = hvd.allreduce(x, op=hvd.Adasum)
        require_alike(device, [hvd.allreduce(device.there(x), op=hvd.Adasum)], [expected])

    ranks(2, work)


def test_gradients_flow_through_collectives_on_the_device(ranks):
    calls = {
        "allreduce": hvd.allreduce,
        "allgather": lambda x: hvd.allgather(x[: 2 + hvd.rank()]),
        "broadcast": lambda x: hvd.broadcast(x, 1),
        "alltoall": lambda x: hvd.alltoall(x, torch.tensor([1, 2], dtype=torch.int32))[0],
        "reducescatter": hvd.reducescatter,
    }

    def gradient(call, x):
        x = x.requires_grad_()
        (call(x) ** 2).sum().backward()
        return x.grad

    def work(device):
        for call in calls.values():
            expected = gradient(call, own(4))
            require_alike(device, [gradient(call, device.there(own(4)))], [expected])

    ranks(2, work)


def test_received_rows_are_told_where_the_splits_lie(ranks):
    def work(device):
        splits = torch.tensor([1, 2], dtype=torch.int32)
        for given in (splits, device.there(splits)):
            _, rows = hvd.alltoall(device.there(own(3)), given)
            assert rows.device == given.device
            assert rows.tolist() == [1 + hvd.rank()] * 2

    ranks(2, work)


def test_a_process_set_works_on_the_device(ranks):
    def work(device):
        pair = hvd.add_process_set([0, 2])
        if hvd.rank() != 1:
            x = device.there(torch.full((3,), float(hvd.rank())))
            assert hvd.allreduce(x, process_set=pair).tolist() == [1.0] * 3

    ranks(3, work)


def test_who_has_joined_adds_zeros_on_the_device(ranks):
    def work(device):
        if hvd.rank() == 0:
            for size in (4, 40_000):
                result = hvd.allreduce(device.there(torch.ones(size)), op=hvd.Sum)
                assert device.is_there(result)
                assert set(result.tolist()) == {1.0}
        assert hvd.join() in {0, 1}

    ranks(2, work)


def test_objects_parameters_and_batch_statistics_are_those_of_the_host(ranks):
    def work(device):
        assert hvd.broadcast_object({"rank": hvd.rank()}, 1) == {"rank": 1}
        weights = {"w": device.there(own(3)), "b": torch.full((2,), float(hvd.rank()))}
        expected = hvd.broadcast(own(3), 1)
        hvd.broadcast_parameters(weights, 1)
        require_alike(device, [weights["w"]], [expected])
        assert weights["b"].tolist() == [1.0, 1.0]

        def normalized(place):
            layer = hvd.SyncBatchNorm(2)
            for tensor in (*layer.parameters(), layer.running_mean, layer.running_var):
                tensor.data = place(tensor.data)
            x = place(own(4 + hvd.rank())).requires_grad_()
            y = layer(x)
            (y**3).sum().backward()
            return [y.detach(), x.grad, layer.weight.grad, layer.running_var]

        for result, value in zip(normalized(device.there), normalized(lambda x: x), strict=True):
            assert device.is_there(result)
            torch.testing.assert_close(result.cpu(), value)

    ranks(2, work)


def test_unlike_kinds_of_device_are_told_on_every_rank(ranks):
    def work(device):
        for call, place in (
            (hvd.allreduce, "allreduce"),
            (hvd.allgather, "allgather"),
            (lambda x: hvd.synchronize(hvd.allreduce_async_(x, name="x")), "allreduce"),
        ):
            x = torch.ones(4)
            with pytest.raises(hvd.HorovodInternalError) as told:
                call(device.there(x) if hvd.rank() else x)
            assert str(told.value).startswith(f"[{place}] ")
            assert "rank 1 sent an array on cuda, rank 0 one on cpu" in str(told.value)
            assert hvd.allreduce(device.there(x)).tolist() == [1.0] * 4

    ranks(2, work)


def test_a_name_that_cannot_be_used_is_told_as_such(ranks):
    def work(device):
        for x in (device.there(torch.ones(2)), torch.ones(2, dtype=torch.bfloat16)):
            for call in (
                lambda name, x=x: hvd.allreduce(x, name=name),
                lambda name, x=x: hvd.allgather_async(x, name=name),
                lambda name, x=x: hvd.grouped_allreduce_([x, x], name=name),
            ):
                with pytest.raises(ValueError, match="holds half of a character; text is expected"):
                    call("\ud800")

    ranks(1, work)


def test_values_that_come_late_in_their_stream_are_waited_for_by_the_device(simulated_ranks):
    def work(device):
        flag, stream, other = (
            device.plugin.allocate(256),
            device.plugin.create_stream(),
            device.plugin.create_stream(),
        )
        x, values = device.there(torch.zeros(3)), device.there(torch.ones(3))
        x[0] = x[0]  # all work of torch is done when it returns; the plug-in's is not
        device.plugin.put(torch.zeros(64, dtype=torch.int32).numpy(), flag)
        device.plugin.wait_flag(flag, 1, stream)
        device.plugin.call("copy", x.data_ptr(), values.data_ptr(), x.nbytes, stream)
        device.stream = Stream(stream)
        handle = hvd.allreduce_async_(x, op=hvd.Sum)
        assert not hvd.poll(handle)
        device.plugin.signal([flag], 1, other)
        assert hvd.synchronize(handle).tolist() == [2.0] * 3

    simulated_ranks(2, work)


def test_a_tensor_that_lies_on_no_device_of_this_rank_is_told(simulated_ranks):
    def work(device):
        hvd.allreduce(device.there(torch.ones(2)))
        devices.kind_of = lambda _: "cuda"
        with pytest.raises(ValueError, match=r"^\[allreduce\] the array lies on no device, and"):
            hvd.allreduce(torch.ones(2))

    simulated_ranks(2, work)
