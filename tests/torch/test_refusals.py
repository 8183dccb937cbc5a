"""What collectives refuse, and how ranks hear what they disagree on."""

import re
import sys
from fractions import Fraction

import cloudpickle
import numpy as np
import pytest
import torch

import ringsync.torch as hvd
from ringsync.errors import MismatchError

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


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


@pytest.mark.parametrize("op", ["Sum", "Average", "Min", "Max", "Product", "Adasum"])
def test_unlike_factors_are_told_whatever_the_op(ranks, op):
    def work():
        hvd.init()
        rank = hvd.rank()
        how = {"op": getattr(hvd, op)}
        for word in ("prescale", "postscale"):
            for own, other in ((1.0, 2.0), (1.0, 49.0), (0.0, 1.0), (1e-3, 3e-3)):
                factor = {f"{word}_factor": [own, other][rank]}
                for call in (
                    lambda factor=factor: hvd.allreduce(torch.ones(2), **how, **factor),
                    lambda factor=factor: hvd.grouped_allreduce([torch.ones(2)], **how, **factor),
                ):
                    with pytest.raises(hvd.HorovodInternalError, match=f"{word} "):
                        call()
        alike = hvd.allreduce(torch.ones(2), **how, prescale_factor=49.0, postscale_factor=0.5)
        assert alike[0].item() == {"Sum": 49.0, "Product": 49.0**2 / 2}.get(op, 24.5)

    ranks(2, work)


@pytest.mark.parametrize("call", ["allgather", "grouped_allgather", "alltoall"])
@pytest.mark.parametrize(("n", "scalars"), [(1, {0}), (2, {0, 1}), (2, {0}), (2, {1})], ids=str)
def test_a_scalar_has_no_rows_and_is_an_internal_error_on_all_ranks(ranks, call, n, scalars):
    def work():
        hvd.init()
        tensor = torch.ones(() if hvd.rank() in scalars else 2, requires_grad=True)
        given = [tensor] if call.startswith("grouped") else tensor
        told = "rank 1 sent shape" if n > len(scalars) else r"a scalar .*reshape\(1\) on"
        words = rf"^\[{call}\] '{call}\.w.*{told}"
        with pytest.raises(hvd.HorovodInternalError, match=words):
            getattr(hvd, call)(given, name="w")
        with torch.no_grad():
            handle = getattr(hvd, f"{call}_async")(given, name="w")
        with pytest.raises(hvd.HorovodInternalError, match=words):
            hvd.synchronize(handle)
        assert hvd.allreduce(torch.ones(1), op=hvd.Sum).item() == n

    ranks(n, work)


@pytest.mark.parametrize("call", ["allgather", "alltoall"])
def test_what_a_rank_asks_for_beside_a_scalar_is_a_value_error(ranks, call):
    def work():
        hvd.init()
        for start in (getattr(hvd, call), getattr(hvd, f"{call}_async")):
            with pytest.raises(ValueError, match="half of a character"):
                start(torch.tensor(1.0), name="\ud800")

    ranks(1, work)


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


@pytest.mark.parametrize("op", [7, "Sum", [1]])
def test_an_op_that_is_none_is_told_with_the_call_and_those_that_there_are(ranks, op):
    def work():
        hvd.init()
        x = torch.ones(2)
        for place, call in (
            ("allreduce", lambda: hvd.allreduce(x, op=op)),
            ("allreduce", lambda: hvd.allreduce_async_(x, op=op)),
            ("grouped_allreduce", lambda: hvd.grouped_allreduce_([x], op=op)),
            ("reducescatter", lambda: hvd.reducescatter(x, op=op)),
            ("grouped_reducescatter", lambda: hvd.grouped_reducescatter([x], op=op)),
            (
                "DistributedOptimizer",
                lambda: hvd.DistributedOptimizer(torch.optim.SGD([x], lr=0.1), op=op),
            ),
        ):
            words = (
                rf"^\[{place}\] op={re.escape(repr(op))} is none of Average, Sum, .*hvd\.Average"
            )
            with pytest.raises(ValueError, match=words):
                call()

    ranks(1, work)


def test_what_has_no_values_is_told(ranks):
    def work():
        hvd.init()
        with pytest.raises(ValueError, match="on device meta is not supported"):
            hvd.allreduce(torch.ones(2, device="meta"))

    ranks(1, work)


@pytest.mark.parametrize(
    ("factor", "told"),
    [
        ("0.5", "'0.5'"),
        (b"2", "b'2'"),
        (None, "None"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        pytest.param(10**400, r"10{10,}\.\.\.", id="10**400"),
        (1j, "1j"),
        (np.str_("0.5"), r"np\.str_\('0\.5'\)"),
        (np.complex64(1 + 2j), r"np\.complex64\(1\+2j\)"),
        (torch.ones(2), r"tensor\(\[1\., 1\.\]\)"),
    ],
)
def test_a_factor_that_is_no_finite_number_is_told_by_the_word_that_was_written(
    ranks, factor, told
):
    def work():
        hvd.init()
        x = torch.ones(2)
        for place, call in (
            ("allreduce", lambda **how: hvd.allreduce(x, **how)),
            ("allreduce", lambda **how: hvd.allreduce_(x, op=hvd.Max, **how)),
            ("allreduce", lambda **how: hvd.allreduce_async(x, op=hvd.Adasum, **how)),
            ("grouped_allreduce", lambda **how: hvd.grouped_allreduce([x], **how)),
            ("reducescatter", lambda **how: hvd.reducescatter(x, **how)),
        ):
            for word in ("prescale_factor", "postscale_factor"):
                words = rf"^\[{place}\] {word}={told} was given; a finite number is expected\."
                with pytest.raises(ValueError, match=words):
                    call(**{word: factor})
        words = rf"^\[DistributedOptimizer\] gradient_predivide_factor={told} was given; a finite"
        with pytest.raises(ValueError, match=words):
            hvd.DistributedOptimizer(torch.optim.SGD([x], lr=0.1), gradient_predivide_factor=factor)

    ranks(1, work)


def test_whatever_is_one_number_is_a_factor(ranks):
    def work():
        hvd.init()
        for factor in (2, np.float32(2), torch.tensor(2.0), torch.tensor([2]), Fraction(2)):
            how = {"prescale_factor": factor, "postscale_factor": factor}
            assert hvd.allreduce(torch.ones(1), **how).item() == 4.0
            assert hvd.reducescatter(torch.ones(1), **how).item() == 4.0

    ranks(1, work)


@pytest.mark.parametrize("rows", [2, 3])
def test_unlike_ops_of_reducescatter_are_told_under_its_name(ranks, rows):
    def work():
        hvd.init()
        op = hvd.Sum if hvd.rank() else hvd.Average
        with pytest.raises(hvd.HorovodInternalError, match=r"^\[reducescatter\] "):
            hvd.reducescatter(torch.ones(rows, 2), op=op)
        handle = hvd.reducescatter_async(torch.ones(rows, 2), name="own", op=op)
        words = r"^\[reducescatter\] 'reducescatter\.own'"
        with pytest.raises(hvd.HorovodInternalError, match=words):
            hvd.synchronize(handle)

    ranks(2, work)


@pytest.mark.parametrize("place", ["allreduce", "grouped_allreduce"])
def test_what_ranks_disagree_on_in_adasum_is_told_under_the_name_of_the_call(ranks, place):
    def work():
        hvd.init()
        call = getattr(hvd, place)
        start = getattr(hvd, f"{place}_async_")
        tensor = torch.ones(2, dtype=[torch.float32, torch.float64][hvd.rank()])
        given = [tensor] if place.startswith("grouped") else tensor
        words = rf"^\[{place}\] '{place}\.own(\.0)?'.*float"
        with pytest.raises(hvd.HorovodInternalError, match=words):
            call(given, name="own", op=hvd.Adasum)
        handle = start(given, name="own", op=hvd.Adasum)
        with pytest.raises(hvd.HorovodInternalError, match=words) as caught:
            hvd.synchronize(handle)
        assert isinstance(caught.value.__cause__, MismatchError)

    ranks(2, work)


def test_every_collective_is_told_by_the_name_that_was_called(ranks):
    def work():
        hvd.init()
        x = torch.ones(2, 2 + hvd.rank())
        for place, call in (
            ("allreduce", lambda: hvd.allreduce(x)),
            ("grouped_allreduce", lambda: hvd.grouped_allreduce([x])),
            ("allgather", lambda: hvd.allgather(x)),
            ("grouped_allgather", lambda: hvd.grouped_allgather([x, x])),
            ("broadcast", lambda: hvd.broadcast(x, 0)),
            ("alltoall", lambda: hvd.alltoall(x)),
            ("reducescatter", lambda: hvd.reducescatter(x)),
            ("grouped_reducescatter", lambda: hvd.grouped_reducescatter([x, x])),
        ):
            with pytest.raises(hvd.HorovodInternalError, match=rf"^\[{place}\] .*rank 1"):
                call()

    ranks(2, work)


def test_adasum_of_a_number_of_ranks_that_is_no_power_of_2_is_refused_before_any_step(ranks):
    def work():
        hvd.init()
        plain = torch.optim.SGD([torch.zeros(2, requires_grad=True)], lr=0.1)
        with pytest.raises(NotImplementedError, match="non-power of 2 ranks"):
            hvd.DistributedOptimizer(plain, op=hvd.Adasum)

    ranks(3, work)


def test_what_is_no_set_no_optimizer_and_no_names_is_told_as_such():
    parameter = torch.nn.Parameter(torch.ones(2))
    plain = torch.optim.SGD([parameter], lr=0.1)
    wrap = hvd.DistributedOptimizer
    for call, words in (
        (lambda: hvd.remove_process_set(None), r"\[remove_process_set\] None is no process set"),
        (
            lambda: hvd.broadcast_optimizer_state(None, 0),
            r"\[broadcast_optimizer_state\] None is no",
        ),
        (lambda: wrap(plain, named_parameters=3), "should be a sequence of tuples"),
        (
            lambda: wrap(plain, named_parameters=[(None, parameter)]),
            "has None for a name; text is expected",
        ),
        (
            lambda: wrap(plain, named_parameters=[("w", parameter, 1)]),
            "should be a sequence of tuples",
        ),
        (lambda: wrap(plain, groups=[parameter]), "a list of list of tensors"),
        (lambda: wrap(plain, groups=[1]), "a list of list of tensors"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
