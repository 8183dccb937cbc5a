"""Gradients flow through the collectives as Horovod has it."""

import sys

import cloudpickle
import torch

import ringsync.torch as hvd

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def test_gradients_of_every_collective(ranks):
    def work():
        hvd.init()
        rank, n = hvd.rank(), hvd.size()

        def gradient(function, *shape):
            x = torch.ones(*shape, requires_grad=True)
            (function(x) * (rank + 1)).sum().backward()
            return x.grad

        mean = (n + 1) / 2  # of rank + 1
        assert torch.allclose(gradient(hvd.allreduce, 3), torch.full((3,), mean))
        summed = gradient(lambda x: hvd.allreduce(x, op=hvd.Sum), 3)
        assert torch.allclose(summed, torch.full((3,), n * mean))
        scaled = gradient(lambda x: hvd.allreduce(x, op=hvd.Sum, prescale_factor=0.5), 3)
        assert torch.allclose(scaled, torch.full((3,), n * mean / 2))
        pair = gradient(lambda x: hvd.grouped_allreduce([x, x])[1], 3)
        assert torch.allclose(pair, torch.full((3,), mean))
        assert torch.allclose(gradient(hvd.allgather, rank + 1, 2), torch.full((rank + 1, 2), mean))
        grouped = gradient(lambda x: hvd.grouped_allgather([x])[0], rank + 1, 2)
        assert torch.allclose(grouped, torch.full((rank + 1, 2), mean))
        given = gradient(lambda x: hvd.broadcast(x, 1), 3)
        assert torch.allclose(given, torch.full((3,), mean if rank == 1 else 0.0))
        # What a rank has sent to rank r comes back with r's factor.
        back = gradient(hvd.alltoall, n, 2)
        assert torch.allclose(back, torch.arange(1.0, n + 1)[:, None].expand(n, 2))
        part = gradient(lambda x: hvd.alltoall(x, [1] * n)[0], n + 1, 2)
        assert torch.allclose(part[:n], back)
        assert not part[n].any()
        averaged = gradient(hvd.reducescatter, n, 2)
        assert torch.allclose(averaged, back)
        total = gradient(lambda x: hvd.reducescatter(x, op=hvd.Sum), n, 2)
        assert torch.allclose(total, n * back)
        uneven = gradient(hvd.reducescatter, n + 1, 2)
        factors = torch.tensor([1.0, 1.0, *range(2, n + 1)])
        assert torch.allclose(uneven, factors[:, None].expand(n + 1, 2))

    ranks(2, work)
    ranks(3, work)


def test_gradients_of_groups_and_sets_come_back_to_their_tensors(ranks):
    def work():
        hvd.init()
        pair = hvd.add_process_set([0, 2])
        if not pair.included():
            return
        place = pair.rank()
        short = torch.ones(1 + place, 2, requires_grad=True)
        long = torch.ones(3 - place, 2, requires_grad=True)
        for gathered in hvd.grouped_allgather([short, long], process_set=pair):
            (gathered * torch.arange(1.0, len(gathered) + 1)[:, None]).sum().backward()
        assert short.grad[:, 0].tolist() == [[1.0], [2.0, 3.0]][place]
        assert long.grad[:, 0].tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0]][place]
        even, uneven = torch.ones(2, 1, requires_grad=True), torch.ones(3, 1, requires_grad=True)
        how = {"op": hvd.Sum, "prescale_factor": 0.5, "postscale_factor": 3.0}
        for own in hvd.grouped_reducescatter([even, uneven], process_set=pair, **how):
            (own * (place + 1)).sum().backward()
        assert even.grad[:, 0].tolist() == [3.0, 6.0]
        assert uneven.grad[:, 0].tolist() == [3.0, 3.0, 6.0]
        given = torch.ones(2, requires_grad=True)
        hvd.broadcast(given, 2, process_set=pair).sum().backward()
        assert given.grad.tolist() == [float(place)] * 2

    ranks(3, work)


def test_gradients_of_gradients_are_reduced_too(ranks):
    def work():
        hvd.init()
        x = torch.full((2,), 3.0, requires_grad=True)
        cubed = hvd.allreduce(x * x * x)
        (first,) = torch.autograd.grad(cubed.sum(), x, create_graph=True)
        assert first.tolist() == [27.0] * 2
        (second,) = torch.autograd.grad(first.sum(), x)
        assert second.tolist() == [18.0] * 2

    ranks(2, work)


def test_nothing_is_recorded_where_no_gradient_is_wanted(ranks):
    def work():
        hvd.init()
        with torch.no_grad():
            assert not hvd.allreduce(torch.ones(2, requires_grad=True)).requires_grad
        assert not hvd.allgather(torch.ones(2)).requires_grad
        assert hvd.allreduce(torch.ones(2, requires_grad=True)).requires_grad

    ranks(1, work)
