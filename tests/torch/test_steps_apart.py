"""Ranks whose optimizers have not made the same updates are told so before the next gradients."""

import pytest
import torch

import ringsync
import ringsync.torch as hvd


@pytest.mark.parametrize("compression", ["none", "fp16"])  # in the arena, and each by itself
def test_a_step_that_one_rank_alone_makes_is_told_on_both(ranks, compression):
    def work():
        hvd.init()
        weight = torch.nn.Parameter(torch.ones(3))
        optimizer = hvd.DistributedOptimizer(
            torch.optim.SGD([weight], lr=1.0), compression=getattr(hvd.Compression, compression)
        )
        for step in range(3):
            weight.sum().backward()
            if step < 2 or hvd.rank() == 1:
                optimizer.step()
            optimizer.zero_grad()
        with pytest.raises(hvd.HorovodInternalError, match="rank 1 is at step 3, rank 0 at step 2"):
            weight.sum().backward()
        hvd.broadcast_parameters([weight], root_rank=0)
        optimizer.zero_grad()
        weight.sum().backward()
        optimizer.step()
        return weight.tolist()

    assert ranks(2, work) == [[-2.0] * 3] * 2


@pytest.mark.parametrize("compression", ["none", "fp16"])
@pytest.mark.parametrize("size", [2, 3])  # of which the first two have a process set
def test_ranks_that_have_all_loaded_one_state_go_on(ranks, compression, size):
    def work():
        hvd.init()
        two = hvd.global_process_set if size == 2 else hvd.add_process_set([0, 1])
        weight = torch.nn.Parameter(torch.ones(3))
        optimizer = hvd.DistributedOptimizer(
            torch.optim.SGD([weight], lr=1.0),
            compression=getattr(hvd.Compression, compression),
            process_set=two,
        )
        if hvd.rank() == 2:
            return None
        saved = optimizer.state_dict()
        weight.sum().backward()
        if hvd.rank() == 1:
            optimizer.step()
        optimizer.load_state_dict(saved)
        with torch.no_grad():
            weight.fill_(1.0)
        for _ in range(2):
            optimizer.zero_grad()
            weight.sum().backward()
            optimizer.step()
        return weight.tolist()

    assert ranks(size, work)[:2] == [[-1.0] * 3] * 2


def test_members_of_a_process_set_that_a_broadcast_in_it_has_made_alike_go_on(ranks):
    def work():
        hvd.init()
        some = hvd.add_process_set([0, 1])
        weight = torch.nn.Parameter(torch.ones(3))
        optimizer = hvd.DistributedOptimizer(torch.optim.SGD([weight], lr=1.0), process_set=some)
        if hvd.rank() == 2:
            return None
        weight.sum().backward()
        if hvd.rank() == 1:
            optimizer.step()
        ringsync.broadcast_parameters({"weight": weight.detach().numpy()}, group=some._group)
        optimizer.zero_grad()
        weight.sum().backward()
        optimizer.step()
        return weight.tolist()

    assert ranks(3, work)[:2] == [[0.0] * 3] * 2


def test_an_adasum_that_one_rank_alone_has_not_moved_by_is_told_before_the_next(ranks):
    def work():
        hvd.init()

        class Broken(hvd.Compression.none):
            @staticmethod
            def decompress(tensor, _ctx):
                if hvd.rank() == 0:
                    raise RuntimeError("cannot decompress")
                return tensor

        weight = torch.nn.Parameter(torch.ones(3))
        bare = torch.optim.SGD([weight], lr=1.0)
        optimizer = hvd.DistributedOptimizer(bare, op=hvd.Adasum, compression=Broken)
        weight.sum().backward()
        if hvd.rank() == 0:
            with pytest.raises(RuntimeError, match="cannot decompress"):
                optimizer.step()
        else:
            optimizer.step()
        Broken.decompress = staticmethod(lambda tensor, _: tensor)
        before = weight.tolist()
        with pytest.raises(hvd.HorovodInternalError, match="rank 1 is at step 1, rank 0 at step 0"):
            optimizer.step()
        assert weight.tolist() == before
        hvd.broadcast_parameters([weight], root_rank=1)
        optimizer.step()
        return weight.tolist()

    assert ranks(2, work) == [[-1.0] * 3] * 2


def test_steps_without_an_exchange_are_each_rank_s_own_and_not_told(ranks):
    def work():
        hvd.init()
        weight = torch.nn.Parameter(torch.ones(3))
        optimizer = hvd.DistributedOptimizer(torch.optim.SGD([weight], lr=1.0))
        if hvd.rank() == 0:
            with optimizer.skip_synchronize():
                optimizer.step()
        weight.sum().backward()
        optimizer.step()
        return weight.tolist()

    assert ranks(2, work) == [[0.0] * 3] * 2


def test_optimizers_wrapped_anew_and_worlds_begun_anew_count_anew(ranks):
    def work():
        hvd.init()
        weight = torch.nn.Parameter(torch.ones(3))
        optimizer = hvd.DistributedOptimizer(torch.optim.SGD([weight], lr=1.0))
        weight.sum().backward()
        if hvd.rank() == 0:
            optimizer.step()
        optimizer.zero_grad()
        optimizer = hvd.DistributedOptimizer(torch.optim.SGD([weight], lr=1.0))
        weight.sum().backward()
        if hvd.rank() == 0:
            optimizer.step()
        optimizer.zero_grad()
        hvd.barrier()
        hvd.shutdown()
        hvd.init()
        weight.sum().backward()
        optimizer.step()
        return weight.tolist()

    assert ranks(2, work) == [[-2.0] * 3, [0.0] * 3]


# What each rank's part of a backward reaches: the first parameter is in the arena, the second
# travels by itself.
PARTS = {
    "one rank has begun": ([0], []),
    "one rank has begun by itself": ([], [1]),
    "ranks have begun by unlike parts": ([0], [1]),
}
BROADCASTS = {
    "of parameters": lambda _: hvd.broadcast_parameters([torch.zeros(2)], root_rank=0),
    "of a state": lambda optimizer: hvd.broadcast_optimizer_state(optimizer, root_rank=0),
}


@pytest.mark.parametrize("broadcast", BROADCASTS)
@pytest.mark.parametrize("part", PARTS)
def test_a_broadcast_in_a_step_changes_its_number_on_no_rank_where(ranks, part, broadcast):
    def work():
        hvd.init()
        weights = [
            torch.nn.Parameter(torch.ones(4)),
            torch.nn.Parameter(torch.ones(4, 4)[:, ::2]),
        ]
        optimizer = hvd.DistributedOptimizer(torch.optim.SGD(weights, lr=0.5))

        def step():
            sum(weight.sum() for weight in weights).backward()
            optimizer.step()
            optimizer.zero_grad()

        step()
        step()
        for index in PARTS[part][hvd.rank()]:
            weights[index].sum().backward()
        BROADCASTS[broadcast](optimizer)
        if broadcast == "of parameters":
            optimizer.step()
        optimizer.zero_grad()
        before = weights[0].tolist(), weights[1].tolist()
        step()
        return before, weights[0].tolist()

    first, second = ranks(2, work)
    assert first == second
    moves = [len([1 for own in PARTS[part] if index in own]) / 2 for index in range(2)]
    if broadcast == "of a state":
        moves = [0.0, 0.0]
    assert first[0][0] == [-moves[0] / 2] * 4
    assert first[0][1] == [[-moves[1] / 2] * 2] * 4
    assert first[1] == [-moves[0] / 2 - 0.5] * 4


def test_ranks_apart_that_a_broadcast_in_a_step_has_made_alike_go_on_at_the_next(ranks):
    def work():
        hvd.init()
        weight = torch.nn.Parameter(torch.ones(3))
        optimizer = hvd.DistributedOptimizer(torch.optim.SGD([weight], lr=1.0))
        weight.sum().backward()
        if hvd.rank() == 1:
            optimizer.step()
        optimizer.zero_grad()
        with pytest.raises(hvd.HorovodInternalError, match="rank 1 is at step 1, rank 0 at step 0"):
            weight.sum().backward()
        hvd.broadcast_parameters([weight], root_rank=0)  # the step that failed is under way
        optimizer.zero_grad()
        weight.sum().backward()
        optimizer.step()
        return weight.tolist()

    assert ranks(2, work) == [[0.0] * 3] * 2


@pytest.mark.parametrize("compression", ["none", "fp16"])
@pytest.mark.parametrize("has_exchanged", [False, True], ids=["idle", "before its step"])
def test_an_optimizer_s_state_is_broadcast_whatever_ranks_have_of_unlike_steps(
    ranks, compression, has_exchanged
):
    def work():
        hvd.init()
        first, second = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
        optimizer = hvd.DistributedOptimizer(
            torch.optim.SGD([first, second], lr=1.0, momentum=0.5),
            compression=getattr(hvd.Compression, compression),
        )
        (first.sum() + second.sum()).backward()
        if hvd.rank() == 1:
            optimizer.step()
            optimizer.zero_grad()
            first.sum().backward()  # of the next one, and no more of it
        elif not has_exchanged:
            optimizer.zero_grad()
        hvd.broadcast_parameters([first, second], root_rank=1)
        hvd.broadcast_optimizer_state(optimizer, root_rank=1)
        optimizer.zero_grad()
        (first.sum() + second.sum()).backward()
        optimizer.step()
        return first.tolist() + second.tolist()

    assert ranks(2, work) == [[-1.5] * 6] * 2
