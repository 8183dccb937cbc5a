"""Handles and names: what is in flight, what may be submitted again, what is left at the end."""

import sys

import cloudpickle
import pytest
import torch

import ringsync.errors
import ringsync.torch as hvd

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def test_a_name_is_taken_until_its_handle_has_been_seen_to_be_done(ranks):
    def work():
        hvd.init()
        first = hvd.allreduce_async(torch.ones(3), name="x")
        with pytest.raises(ValueError, match=r"same name .* 'allreduce\.x'"):
            hvd.allreduce_async(torch.ones(3), name="x")
        hvd.allgather(torch.ones(1), name="x")  # another collective's name
        assert hvd.synchronize(first).tolist() == [1.0] * 3
        second = hvd.allreduce_async(torch.ones(3), name="x")
        while not hvd.poll(second):
            pass
        third = hvd.allreduce_async(torch.ones(3), name="x")
        hvd.synchronize(second)
        hvd.synchronize(third)
        assert hvd.synchronize(third) is None

    ranks(2, work)


def test_a_handle_that_is_polled_twice_frees_its_own_name_only(ranks):
    def work():
        hvd.init()
        first = hvd.allreduce_async(torch.ones(3), name="x")
        while not hvd.poll(first):
            pass
        second = hvd.allreduce_async(torch.ones(3), name="x")
        assert hvd.poll(first)
        hvd.synchronize(first)
        with pytest.raises(ValueError, match=r"same name .* 'allreduce\.x'"):
            hvd.allreduce_async(torch.ones(3), name="x")
        hvd.synchronize(second)

    ranks(2, work)


def test_names_of_several_calls_are_free_once_all_are_seen_to_be_done(ranks):
    def work():
        hvd.init()
        rows = torch.ones(2, 2)
        for start in (hvd.grouped_allgather_async, hvd.grouped_reducescatter_async):
            first = start([rows, rows], name="x")
            while not hvd.poll(first):
                pass
            second = start([rows, rows], name="x")
            with pytest.raises(ValueError, match=r"same name .*\.x'"):
                start([rows, rows], name="x")
            assert len(hvd.synchronize(second)) == len(hvd.synchronize(first)) == 2
        handle = hvd.alltoall_async(rows, name="x")
        while not hvd.poll(handle):
            pass
        hvd.alltoall_async(rows, name="x")
        output, received = hvd.synchronize(handle)
        assert output.shape == (2, 2)
        assert received.tolist() == [1, 1]

    ranks(2, work)


def test_what_is_never_synchronized_is_gone_with_its_world(ranks):
    def work():
        for _ in range(5):
            hvd.init()
            for k in range(20):
                hvd.allreduce_async(torch.ones(100), name=f"x{k}")
            hvd.barrier()
            hvd.shutdown()
            assert not hvd.is_initialized()
        with pytest.raises(ValueError, match="was not created"):
            hvd.poll(3)

    ranks(2, work)


def test_names_pair_calls_in_any_order(ranks):
    def work():
        hvd.init()
        names = ["a", "b", "c", "d"]
        order = names if hvd.rank() == 0 else names[::-1]
        handles = {
            name: hvd.allreduce_async(torch.full((2,), float(ord(name))), name=name)
            for name in order
        }
        for name in names:
            assert hvd.synchronize(handles[name]).tolist() == [float(ord(name))] * 2

    ranks(2, work)


def test_join_gives_zeros_and_names_the_last(ranks):
    def work():
        hvd.init()
        rank = hvd.rank()
        if rank == 0:
            total = hvd.allreduce(torch.ones(4))
            assert torch.allclose(total, torch.full((4,), 0.5))
            for rows in (3, 4):
                assert hvd.reducescatter(torch.ones(rows)).tolist() == [0.5, 0.5]
                assert hvd.reducescatter(torch.ones(rows), op=hvd.Sum).tolist() == [1.0, 1.0]
        return hvd.join()

    assert ranks(2, work) == [0, 0]


def test_a_rank_is_initialized_until_it_shuts_down_itself(ranks):
    def work():
        hvd.init()
        if hvd.rank() == 1:
            hvd.shutdown()
        else:
            with pytest.raises(hvd.HorovodInternalError, match="rank 1 has shut down"):
                hvd.allreduce(torch.ones(1))
        return hvd.is_initialized()

    assert ranks(2, work) == [True, False]


def test_process_sets_have_numbers_ranks_and_members(ranks):
    def work():
        even = hvd.ProcessSet([0, 2])
        hvd.init(process_sets=[even])
        rank = hvd.rank()
        assert (even.process_set_id, even.ranks, even.size()) == (1, [0, 2], 2)
        assert even.included() == (rank != 1)
        odd = hvd.add_process_set([1])
        assert odd.process_set_id == 2
        assert hvd.global_process_set.ranks == [0, 1, 2]
        with pytest.raises(ValueError, match="duplicate"):
            hvd.add_process_set([2, 0])
        if rank == 1:
            with pytest.raises(ValueError, match="Rank 1 is not a member"):
                hvd.allreduce(torch.ones(1), process_set=even)
            with pytest.raises(ValueError, match="does not include"):
                even.rank()
        else:
            own = torch.full((2,), float(rank))
            assert hvd.allreduce(own, process_set=even).tolist() == [1.0, 1.0]
            assert hvd.broadcast(own, 2, process_set=even).tolist() == [2.0, 2.0]
            assert even.rank() == rank // 2
        hvd.barrier()
        assert hvd.remove_process_set(odd)
        assert not hvd.remove_process_set(odd)
        assert not hvd.remove_process_set(hvd.global_process_set)
        with pytest.raises(ValueError, match="has not been registered"):
            hvd.allreduce(torch.ones(1), process_set=odd)
        assert hvd.add_process_set([0, 1]).process_set_id == 2
        hvd.shutdown()
        assert even.process_set_id is None

    ranks(3, work)


def test_a_set_knows_its_ranks_before_it_is_registered(ranks):
    def work():
        one = hvd.ProcessSet([1])
        for question in (one.included, hvd.global_process_set.size):
            with pytest.raises(ValueError, match=r"use hvd\.init\(\)"):
                question()
        with pytest.raises(ValueError, match=r"use hvd\.init\(\)"):
            hvd.add_process_set(one)
        hvd.init()
        assert one.included() == (hvd.rank() == 1)
        assert one.size() is one.rank() is one.process_set_id is None
        # Without a word its ranks would have trained each for itself.
        if one.included():
            net = torch.nn.Linear(2, 2)
            with pytest.raises(ValueError, match="has not been registered"):
                hvd.DistributedOptimizer(torch.optim.SGD(net.parameters()), process_set=one)

    ranks(2, work)


@pytest.mark.parametrize("given", [3, None, ["0"], [0, 0], [0, True], [0.0]])
def test_what_is_no_list_of_ranks_is_no_set(given):
    with pytest.raises(ValueError, match=r"\[ProcessSet\] .* was given; distinct ranks"):
        hvd.ProcessSet(given)


def test_what_one_rank_cannot_register_is_told_to_all(ranks):
    def work():
        hvd.init()
        told = []
        for given in ([0, 7], [0, 1, 2]):  # no such rank; and a duplicate of all ranks
            try:
                hvd.add_process_set(given if hvd.rank() == 1 else [0, 1])
            except (ValueError, hvd.HorovodInternalError) as error:
                told.append((type(error), str(error)))
        hvd.add_process_set([0, 1])
        return told

    internal = hvd.HorovodInternalError
    for rank, told in enumerate(ranks(3, work)):
        assert told[0][0] is (ringsync.errors.ConfigError if rank == 1 else internal)
        assert told[1][0] is internal
        assert "[0, 7]" in told[0][1]
        assert "rank 1 passed" in told[1][1]


def test_what_init_cannot_register_is_a_value_error(ranks):
    def work():
        with pytest.raises(ValueError, match="'static'"):
            hvd.init(process_sets="static")
        hvd.init(process_sets="Dynamic")
        hvd.shutdown()
        with pytest.raises(ValueError, match="number 1 is a duplicate: ProcessSet"):
            hvd.init(process_sets=[hvd.ProcessSet([0, 1]), hvd.ProcessSet([1, 0])])

    ranks(3, work)
