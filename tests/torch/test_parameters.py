"""Equal starts: one rank's parameters on all, in every form that a module gives them."""

import sys

import cloudpickle
import pytest
import torch

import ringsync.torch as hvd

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def test_parameters_arrive_in_every_form_that_a_module_gives_them(ranks):
    def work():
        hvd.init()
        forms = {
            "state_dict": lambda net: net.state_dict(),
            "dict": lambda net: dict(net.named_parameters()),
            "named": lambda net: list(net.named_parameters()),
            "generator": lambda net: net.named_parameters(),
            "plain": lambda net: list(net.parameters()),
        }
        seen = {}
        for label, form in forms.items():
            torch.manual_seed(hvd.rank())
            net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
            net[1].num_batches_tracked.fill_(hvd.rank() + 5)
            net = net.to(memory_format=torch.channels_last)
            before = [p.data_ptr() for p in net.parameters()]
            hvd.broadcast_parameters(form(net), root_rank=1)
            assert [p.data_ptr() for p in net.parameters()] == before
            seen[label] = {name: t.clone() for name, t in net.state_dict().items()}
        return seen

    first, second = ranks(2, work)
    for label, values in first.items():
        for name, value in values.items():
            if "." in name and "running" not in name and "num_batches" not in name:
                assert torch.equal(value, second[label][name]), (label, name)
    tracked = "1.num_batches_tracked"
    assert first["state_dict"][tracked] == second["state_dict"][tracked] == 6
    assert first["plain"][tracked] == 5  # a buffer is no parameter


def test_what_is_no_tensor_is_skipped_and_told_and_tied_weights_arrive(ranks):
    def work():
        hvd.init()
        tied = torch.full((3,), float(hvd.rank()))
        with pytest.warns(UserWarning, match="'text' is a str and stays each rank's own"):
            hvd.broadcast_parameters({"b": tied, "a": tied, "none": None, "text": "x"}, 1)
        hvd.broadcast_parameters([("t", tied), ("none", None), (None, tied)], root_rank=1)
        return tied

    for tied in ranks(2, work):
        assert torch.equal(tied, torch.ones(3))


@pytest.mark.parametrize("params", [3, None, "weights", torch.ones(2)])
def test_parameters_of_another_kind_are_refused(params):
    with pytest.raises(ValueError, match="invalid params of type: "):
        hvd.broadcast_parameters(params, root_rank=0)


def test_different_parameters_are_told_on_every_rank_and_nothing_stays_in_flight(ranks):
    def work():
        hvd.init()
        net = {name: torch.zeros(2 + (hvd.rank() if name == "b" else 0)) for name in "abc"}
        try:
            hvd.broadcast_parameters(net, root_rank=0)
        except hvd.HorovodInternalError as error:
            message = str(error)
        # The names are free again, and the world goes on.
        right = {name: torch.full((2,), float(hvd.rank())) for name in "abc"}
        hvd.broadcast_parameters(right, root_rank=1)
        return message, right

    for message, right in ranks(2, work):
        assert "rank 1 holds 'b' (3,) float32, rank 0 holds 'b' (2,) float32" in message
        assert all(torch.equal(tensor, torch.ones(2)) for tensor in right.values())


def test_the_first_tensor_that_differs_between_ranks_is_named(ranks):
    def work():
        hvd.init()
        for unlike, words in (
            (torch.nn.Linear(2, 3 + hvd.rank()), r"rank 1 holds 'bias' \(4,\) float32"),
            (torch.nn.Linear(2, 3, bias=hvd.rank() == 0), "rank 1 holds 'weight'"),
        ):
            with pytest.raises(
                hvd.HorovodInternalError, match=rf"^\[broadcast_parameters\] {words}"
            ):
                hvd.broadcast_parameters(unlike.state_dict(), root_rank=0)
        hvd.broadcast_parameters(torch.nn.Linear(2, 3).state_dict(), root_rank=0)

    ranks(2, work)


def test_tensors_of_a_name_may_come_in_another_order_on_each_rank(ranks):
    def work():
        hvd.init()
        given = [("b", torch.full((3,), float(hvd.rank()))), ("a", torch.full((2,), 1.0))]
        hvd.broadcast_parameters(given[:: 1 - 2 * hvd.rank()], root_rank=1)
        return given[0][1].tolist()

    assert ranks(2, work) == [[1.0] * 3] * 2


def test_a_root_that_is_none_is_this_ranks_own_error(ranks):
    def work():
        hvd.init()
        tensors = {"a": torch.zeros(2)}
        if hvd.rank() == 1:
            with pytest.raises(ValueError, match=r"\[broadcast_parameters\] root=2 is no rank"):
                hvd.broadcast_parameters(tensors, root_rank=2)
        hvd.broadcast_parameters(tensors, root_rank=0)

    ranks(2, work)
