"""What is kept of a training on a device holds nothing of an exchange that failed."""

import threading

import pytest

torch = pytest.importorskip("torch")

import ringsync.torch as hvd  # noqa: E402 - once torch has been asked for
from ringsync.runtime import current  # noqa: E402 - likewise
from ringsync.torch import devices  # noqa: E402 - likewise

from .torch_device import Stream  # noqa: E402 - likewise


def test_a_commit_keeps_nothing_of_a_step_whose_exchange_fails_behind_it(simulated_ranks):
    def work(device):
        plugin = device.plugin
        weight = torch.nn.Parameter(device.there(torch.ones(200, 200)))
        optimizer = hvd.DistributedOptimizer(torch.optim.SGD([weight], lr=1.0))
        net = torch.nn.ParameterList([weight])

        def step():
            optimizer.zero_grad(set_to_none=False)
            weight.sum().backward()
            optimizer.step()

        for _ in range(3):  # by then ranks see each other's memory
            step()
        state = hvd.elastic.TorchState(model=net)
        flag, other = plugin.allocate(256), plugin.create_stream()
        plugin.put(torch.zeros(64, dtype=torch.int32).numpy(), flag)
        device.stream = Stream(plugin.create_stream())
        plugin.wait_flag(flag, 1, device.stream.cuda_stream)
        step()
        hvd.barrier()
        if hvd.rank() == 1:
            hvd.shutdown()
        else:
            with pytest.raises(hvd.HorovodInternalError, match="rank 1"):
                state.commit()
            state.restore()
            assert set(weight.flatten().tolist()) == {-2.0}
        plugin.signal([flag], 1, other)

    simulated_ranks(2, work)


def test_a_commit_waits_for_every_exchange_and_every_device_that_the_state_lies_on(simulated_ranks):
    def work(device):
        plugin = device.plugin
        weight = torch.nn.Parameter(device.there(torch.ones(200, 200)))
        optimizer = hvd.DistributedOptimizer(torch.optim.SGD([weight], lr=1.0, momentum=0.5))
        net = torch.nn.ParameterList([weight])

        def step():
            optimizer.zero_grad(set_to_none=False)
            weight.sum().backward()
            optimizer.step()

        for _ in range(3):  # by then ranks see each other's memory
            step()
        loose = torch.ones(3)
        state = hvd.elastic.TorchState(net, optimizer, best={"loss": [loose]})
        flag, other = plugin.allocate(256), plugin.create_stream()
        plugin.put(torch.zeros(64, dtype=torch.int32).numpy(), flag)
        device.stream = Stream(plugin.create_stream())
        plugin.wait_flag(flag, 1, device.stream.cuda_stream)
        step()
        waited_for = []

        # Torch knows of no device that is simulated, and would be asked for each.
        def wait_for(tensors):
            waited_for.extend(tensors)
            assert current().engine.in_flight()[0] == 0

        devices.wait_for = wait_for
        opener = threading.Thread(target=plugin.signal, args=([flag], 1, other), daemon=True)
        opener.start()
        state.commit()
        opener.join()
        momentum = optimizer.state[weight]["momentum_buffer"]
        for held in (weight, momentum, loose):
            assert any(held.data_ptr() == one.data_ptr() for one in waited_for)

    simulated_ranks(2, work)
