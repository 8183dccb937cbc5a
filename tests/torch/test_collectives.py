"""Horovod's collectives on tensors: every dtype, and any strides."""

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
        assert hvd.alltoall(own).tolist() == ([True, True] if hvd.rank() == 0 else [True, False])
        sent, received = hvd.alltoall(own, [2, 0] if hvd.rank() else [0, 2])
        assert sent.tolist() == ([True, False] if hvd.rank() == 0 else [True, True])
        assert (sent.dtype, received.tolist()) == (torch.bool, [[0, 2], [2, 0]][hvd.rank()])
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


def test_averages_of_all_reductions_are_divisions(ranks):
    def work():
        hvd.init()
        mine = torch.rand(7, 2) + hvd.rank()
        total = hvd.allreduce(mine, op=hvd.Sum)
        assert torch.equal(hvd.allreduce(mine), total / 3)
        own = slice(*[(0, 3), (3, 5), (5, 7)][hvd.rank()])
        assert torch.equal(hvd.reducescatter(mine), total[own] / 3)
        even = slice(2 * hvd.rank(), 2 * hvd.rank() + 2)
        assert torch.equal(hvd.reducescatter(mine[:6]), total[:6][even] / 3)

    ranks(3, work)


def test_prescale_rounds_every_ranks_values_and_leaves_them_alone(ranks):
    def work():
        hvd.init()
        for dtype in (*FLOATS, *INTEGERS):
            own = torch.tensor([1, 2, 3]).to(dtype)
            kept = own.clone()
            half = (own.double() * 0.5).to(dtype)
            how = {"op": hvd.Sum, "prescale_factor": 0.5}
            assert torch.equal(hvd.allreduce(own, **how), 2 * half)
            rows = own.repeat(2, 1)
            assert torch.equal(hvd.reducescatter(rows, **how), 2 * half[None])
            assert torch.equal(own, kept)
            assert torch.equal(rows[0], kept)
            assert hvd.allreduce_(own, **how) is own
            assert torch.equal(own, 2 * half)

    ranks(2, work)


def test_what_fails_leaves_tensors_as_they_were(ranks):
    def work():
        hvd.init()
        own = torch.full((3 + hvd.rank(),), 4.0)
        with pytest.raises(hvd.HorovodInternalError, match="shape"):
            hvd.allreduce_(own, prescale_factor=0.5, op=hvd.Sum)
        held = hvd.allreduce_async(torch.ones(1), name="x")
        with pytest.raises(ValueError, match="same name"):
            hvd.allreduce_(own, name="x", prescale_factor=0.5, op=hvd.Sum)
        hvd.synchronize(held)
        assert (own == 4.0).all()

    ranks(2, work)


def test_tensors_without_elements_travel(ranks):
    def work():
        hvd.init()
        none = torch.empty(0, 3)
        for op in (hvd.Sum, hvd.Average, hvd.Adasum):
            assert hvd.allreduce(none, op=op).shape == (0, 3)
            assert hvd.grouped_allreduce([none, torch.ones(2)], op=op)[0].shape == (0, 3)
            assert hvd.grouped_allreduce([], op=op) == []
        assert hvd.grouped_allgather([]) == hvd.grouped_reducescatter([]) == []
        assert hvd.allgather(none if hvd.rank() else torch.ones(2, 3)).shape == (2, 3)
        assert hvd.broadcast(none, 0).shape == (0, 3)
        assert hvd.alltoall(none).shape == (0, 3)
        assert hvd.reducescatter(none).shape == (0, 3)
        assert hvd.reducescatter(torch.ones(1, 2)).shape == (1 - hvd.rank(), 2)

    ranks(2, work)


def test_ops_are_told_by_number_as_well_and_average_in_its_old_form(ranks):
    def work():
        hvd.init()
        assert hvd.allreduce(torch.ones(1), None, "name", hvd.Compression.none, 1).item() == 2.0
        assert hvd.reducescatter(torch.ones(2), op=1).item() == 2.0
        with pytest.warns(DeprecationWarning, match="replaced with `op`") as told:
            assert hvd.allreduce(torch.ones(1), average=False).item() == 2.0
        here = (lambda: None).__code__.co_filename  # of whoever is to change it
        assert told[0].filename == here
        with pytest.raises(ValueError, match="9"):
            hvd.allreduce(torch.ones(1), op=9)

    ranks(2, work)


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
        whole = torch.sparse_coo_tensor([[2]], [3 + rank], (4,))
        average = hvd.sparse_allreduce_async(whole, None, int(hvd.Average))()
        assert average.to_dense().tolist() == [0, 0, 3, 0]
        assert average.dtype is torch.int64
        with pytest.raises(ValueError, match=r"or allreduce_async\(\)"):
            hvd.sparse_allreduce_async(torch.ones(2), "s", hvd.Sum)

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
        assert hvd.allreduce(torch.tensor(3.0), op=hvd.Adasum).item() == 3.0
        assert hvd.allreduce(torch.ones(0, 2), op=hvd.Adasum).shape == (0, 2)
        many = torch.arange(2.0**8).reshape([2] * 8)
        assert torch.equal(hvd.allreduce(many, op=hvd.Adasum), many)
        scaled = hvd.allreduce(same, op=hvd.Adasum, prescale_factor=0.5, postscale_factor=6.0)
        torch.testing.assert_close(scaled, 3 * same)
        assert torch.equal(same, torch.arange(5.0))

    ranks(2, work)

    def refused():
        hvd.init()
        with pytest.raises(NotImplementedError, match="power of 2"):
            hvd.allreduce(torch.ones(2), op=hvd.Adasum)

    ranks(3, refused)
