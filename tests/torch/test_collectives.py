"""Horovod's collectives on tensors: every dtype, any strides, and what is raised."""

import sys

import cloudpickle
import pytest
import torch

import ringsync.torch as hvd

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]

sizes = pytest.mark.parametrize("n", [1, 2, 3])


@sizes
def test_every_dtype_travels_by_every_collective(ranks, n):
    def work():
        hvd.init()
        rank, n = hvd.rank(), hvd.size()
        for dtype in FLOATS + INTEGERS:
            tensor = (torch.arange(6).reshape(2, 3) % 3 + rank).to(dtype)
            total = sum((torch.arange(6).reshape(2, 3) % 3 + r).to(dtype) for r in range(n))
            assert torch.equal(hvd.allreduce(tensor, op=hvd.Sum), total)
            parts = [(torch.arange(6).reshape(2, 3) % 3 + r).to(dtype) for r in range(n)]
            assert torch.equal(hvd.allgather(tensor), torch.cat(parts))
            assert torch.equal(hvd.broadcast(tensor, n - 1), parts[-1])
            everything = torch.cat([torch.full((2,), rank).to(dtype)] * n)
            expected = torch.arange(n).repeat_interleave(2).to(dtype)
            assert torch.equal(hvd.alltoall(everything), expected)
            scattered = hvd.reducescatter(torch.ones(n + 1, 2).to(dtype), op=hvd.Sum)
            rows = 1 + (rank < 1)
            assert torch.equal(scattered, torch.full((rows, 2), n).to(dtype))
            for result in (total, scattered):
                assert result.dtype is dtype

    ranks(n, work)


def test_bool_travels_where_it_is_not_added(ranks):
    def work():
        hvd.init()
        own = torch.tensor([True, hvd.rank() == 0])
        assert hvd.allreduce(own, op=hvd.Min).tolist() == [True, False]
        assert hvd.allreduce(own, op=hvd.Max).tolist() == [True, True]
        assert hvd.allgather(own).tolist() == [True, True, True, False]
        assert hvd.broadcast(own, 1).tolist() == [True, False]
        with pytest.raises(ValueError, match="bool"):
            hvd.allreduce(own, op=hvd.Sum)

    ranks(2, work)


def test_strides_change_no_value_and_stay_in_place(ranks):
    def work():
        hvd.init()
        rank = hvd.rank()
        shape = (2, 3, 4, 5)
        base = torch.arange(120.0).reshape(shape)
        like_images = (base + rank).to(memory_format=torch.channels_last)
        # Ranks may have unlike strides.
        own = like_images if rank else base + rank
        assert torch.equal(hvd.allreduce(own, op=hvd.Sum), 2 * base + 1)
        kept = own.stride()
        assert hvd.allreduce_(own, op=hvd.Sum) is own
        assert own.stride() == kept
        assert torch.equal(own, 2 * base + 1)
        hvd.broadcast_(own.transpose(0, 2).narrow(0, 1, 2), 1)
        sliced = (base + rank)[:, 1]
        assert torch.equal(hvd.allgather(sliced), torch.cat([base[:, 1], base[:, 1] + 1]))
        handle = hvd.allreduce_async_(sliced, op=hvd.Sum)
        assert hvd.synchronize(handle) is sliced
        assert torch.equal(sliced, 2 * base[:, 1] + 1)

    ranks(2, work)


def test_groups_of_tensors_are_reduced_gathered_and_scattered_together(ranks):
    def work():
        hvd.init()
        rank = hvd.rank()
        tensors = [torch.full((2, k), float(rank + k)) for k in range(1, 4)]
        for reduced, k in zip(hvd.grouped_allreduce(tensors), range(1, 4), strict=True):
            assert torch.equal(reduced, torch.full((2, k), k + 0.5))
        gathered = hvd.grouped_allgather(tensors)
        assert [tuple(one.shape) for one in gathered] == [(4, 1), (4, 2), (4, 3)]
        for own, k in zip(hvd.grouped_reducescatter(tensors, op=hvd.Sum), range(1, 4), strict=True):
            assert torch.equal(own, torch.full((1, k), 2 * k + 1.0))
        assert all(a is b for a, b in zip(hvd.grouped_allreduce_(tensors), tensors, strict=True))
        assert hvd.grouped_allreduce([]) == []

    ranks(2, work)


def test_uneven_splits_are_told_to_their_receivers(ranks):
    def work():
        hvd.init()
        rank = hvd.rank()
        splits = torch.tensor([1, 2, 3] if rank == 0 else [2, 2, 2], dtype=torch.int32)
        output, received = hvd.alltoall(torch.full((7, 2), float(rank)), splits)
        assert received.dtype is torch.int32
        assert received.tolist() == [rank + 1, 2, 2]
        assert output[:, 0].tolist() == [0.0] * (rank + 1) + [1.0] * 2 + [2.0] * 2

    ranks(3, work)


def test_integer_averages_are_true_divisions_that_truncate(ranks):
    def work():
        hvd.init()
        own = torch.tensor([hvd.rank(), -hvd.rank(), 7])
        assert hvd.allreduce(own).tolist() == [1, -1, 7]
        assert hvd.allreduce(torch.tensor([1, 2])[hvd.rank() % 2 :][:1]).tolist() == [1]

    ranks(3, work)


def test_what_ranks_disagree_on_is_an_internal_error_on_all_of_them(ranks):
    def work():
        hvd.init()
        rank = hvd.rank()
        for attempt in (
            lambda: hvd.allreduce(torch.ones(2 + rank)),
            lambda: hvd.allreduce(torch.ones(2, dtype=[torch.int32, torch.int64][rank])),
            lambda: hvd.allreduce(torch.ones(2), op=[hvd.Sum, hvd.Max][rank]),
            lambda: hvd.allreduce(torch.ones(2), prescale_factor=1.0 + rank),
            lambda: hvd.broadcast(torch.ones(2), rank),
            lambda: hvd.allgather(torch.ones(2, 2 + rank)),
            lambda: hvd.reducescatter(torch.ones(2), op=[hvd.Sum, hvd.Average][rank]),
            lambda: [hvd.allreduce, hvd.allgather][rank](torch.ones(2)),
        ):
            with pytest.raises(hvd.HorovodInternalError, match=r"rank [01]"):
                attempt()
            assert hvd.allreduce(torch.ones(1), op=hvd.Sum).item() == 2.0
        with pytest.raises(hvd.HorovodInternalError, match="AVERAGE and SUM"):
            hvd.reducescatter(torch.ones(2), op=hvd.Max)

    ranks(2, work)


def test_what_one_rank_cannot_ask_for_is_a_value_error_there(ranks):
    def work():
        hvd.init()
        for attempt, words in (
            (lambda: hvd.allreduce(torch.ones(2, dtype=torch.complex64)), "not supported"),
            (lambda: hvd.allreduce([1.0]), "not supported"),
            (lambda: hvd.allreduce(torch.ones(2).to_sparse()), "sparse_allreduce_async"),
            (lambda: hvd.allreduce(torch.ones(2), average=True, op=hvd.Sum), "supersedes"),
            (lambda: hvd.broadcast(torch.ones(2), 7), "root"),
            (lambda: hvd.reducescatter(torch.tensor(1.0)), "scalar"),
            (lambda: hvd.alltoall(torch.ones(3, 1)[:0].reshape(0), [1, 2]), "number of workers"),
            (lambda: hvd.alltoall(torch.ones(2), torch.ones(1, 1)), "1D splits"),
            (lambda: hvd.alltoall(torch.ones(2), torch.ones(1)), "32-bit"),
            (lambda: hvd.alltoall(torch.ones(2), [3]), "greater than the first dimension"),
            (lambda: hvd.poll(12345), "was not created"),
        ):
            with pytest.raises(ValueError, match=words):
                attempt()
        assert hvd.synchronize(12345) is None

    ranks(1, work)


def test_without_init_places_are_value_errors_and_collectives_internal_ones(ranks):
    def work():
        for question in (hvd.rank, hvd.size, hvd.local_rank, hvd.cross_size, hvd.is_homogeneous):
            with pytest.raises(ValueError, match=r"use hvd\.init\(\)"):
                question()
        with pytest.raises(hvd.HorovodInternalError, match=r"use hvd\.init\(\)"):
            hvd.allreduce(torch.ones(1))
        assert not hvd.is_initialized()

    ranks(1, work)


def test_sparse_tensors_are_added_up(ranks):
    def work():
        hvd.init()
        rank = hvd.rank()
        own = torch.sparse_coo_tensor([[rank, 2]], [[1.0, 1.0], [2.0, 2.0]], (4, 2))
        expected = torch.tensor([[1.0, 1.0], [1.0, 1.0], [4.0, 4.0], [0.0, 0.0]])
        assert torch.equal(hvd.sparse_allreduce_async(own, "s", hvd.Sum)().to_dense(), expected)
        assert torch.equal(
            hvd.sparse_allreduce_async(own, "s", hvd.Average)().to_dense(), expected / 2
        )

    ranks(2, work)


def test_adasum_counts_once_what_gradients_have_in_common(ranks):
    def work():
        hvd.init()
        same = torch.arange(5.0)
        torch.testing.assert_close(hvd.allreduce(same, op=hvd.Adasum), same)
        crossing = torch.eye(2)[hvd.rank()]
        torch.testing.assert_close(hvd.allreduce(crossing, op=hvd.Adasum), torch.ones(2))
        both = hvd.grouped_allreduce([same, crossing.double()], op=hvd.Adasum)
        torch.testing.assert_close(both[1], torch.ones(2, dtype=torch.float64))
        assert not hvd.allreduce(torch.zeros(3), op=hvd.Adasum).any()

    ranks(2, work)

    def refused():
        hvd.init()
        with pytest.raises(NotImplementedError, match="power of 2"):
            hvd.allreduce(torch.ones(2), op=hvd.Adasum)

    ranks(3, refused)
