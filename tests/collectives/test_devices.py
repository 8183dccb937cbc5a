"""Arrays on devices and codecs as scripts pass them: known by their protocols, refused together."""

import numpy as np
import pytest

import ringsync as rs
from ringsync.errors import ConfigError

CALLS = {
    call.__name__: call
    for call in (
        rs.allreduce, rs.allreduce_, rs.allreduce_async, rs.allreduce_async_, rs.allgather,
        rs.allgather_async, rs.broadcast, rs.broadcast_, rs.broadcast_async, rs.broadcast_async_,
        rs.reduce_scatter, rs.reduce_scatter_async, rs.alltoall, rs.alltoall_async,
    )
}  # fmt: skip
every = pytest.mark.parametrize("place", CALLS)


class OnDevice:
    __cuda_array_interface__ = {}  # noqa: RUF012 - its presence is all that counts


@every
def test_a_device_array_is_refused_in_words(place):
    word = place.removesuffix("_").removesuffix("_async")
    with pytest.raises(ConfigError) as told:
        CALLS[place](OnDevice())
    assert str(told.value) == (
        f"[{word}] an array on cuda was given, and ringsync has no way to it. Copy it to the host "
        "first, on all ranks."
    )
    assert rs.allreduce(np.ones(2))[0] == 1


@every
@pytest.mark.parametrize(
    ("device", "told"),
    [(8, "metal"), (10, "rocm"), (14, "oneapi"), (17, "device kind 17")],
)
def test_an_array_that_says_by_dlpack_that_it_is_elsewhere_is_refused_likewise(place, device, told):
    class Elsewhere:
        __cuda_array_interface__ = property(lambda _: pytest.fail("it wants gradients"))

        def __dlpack_device__(self):
            return (device, 3)

    with pytest.raises(ConfigError, match=rf"^\[\w+\] an array on {told} was given, "):
        CALLS[place](Elsewhere())


def _raise(error):
    raise error


WHOLE = {"shape": (3,), "typestr": "<f4", "data": (4096, False)}


@every
@pytest.mark.parametrize(
    ("tell", "why"),
    [
        (lambda: {"typestr": "<f4"}, "KeyError: 'shape'"),
        (lambda: WHOLE | {"shape": 3}, "TypeError: "),
        (lambda: WHOLE | {"data": 4096}, "TypeError: "),
        (lambda: _raise(RuntimeError("it wants gradients.")), "RuntimeError: it wants gradients"),
    ],
)
def test_a_description_that_cannot_be_read_is_told_with_what_is_expected_of_it(place, tell, why):
    class Odd:
        __cuda_array_interface__ = property(lambda _: tell())

        def __dlpack_device__(self):
            return (2, 0)

    with pytest.raises(ConfigError) as told:
        CALLS[place](Odd())
    text = str(told.value)
    assert "'Odd' is on a device and has a __cuda_array_interface__ that cannot be read" in text
    assert f" ({why}" in text
    assert text.endswith(
        "); its shape, typestr and data are expected. Pass an array of CuPy or PyTorch."
    )
    assert told.value.__cause__ is not None


def test_a_communicator_that_does_not_tell_its_address_is_one_error_with_its_own_as_the_cause():
    class Ended:
        comm = property(lambda _: _raise(RuntimeError("it has ended.")))

    with pytest.raises(ConfigError) as told:
        rs.adopt_nccl(Ended())
    assert str(told.value) == (
        "[adopt_nccl] 'Ended' is no communicator that can be adopted (RuntimeError: it has ended); "
        "CuPy's is expected. Pass a cupy.cuda.nccl.NcclCommunicator."
    )
    assert isinstance(told.value.__cause__, RuntimeError)


FORMS = [
    *(f"rs.allreduce{more}(X, name=NAME)" for more in ("", "_")),
    *(f"rs.allreduce_async{more}(X, name=NAME).wait()" for more in ("", "_")),
    *(f"rs.allreduce{more}(H, name=NAME, codec=CODEC)" for more in ("", "_")),
    *(f"rs.allreduce_async{more}(H, name=NAME, codec=CODEC).wait()" for more in ("", "_")),
    *(f"rs.grouped_allreduce{more}([np.ones(4), X], name=NAME)" for more in ("", "_")),
    *(f"rs.grouped_allreduce_async{more}([np.ones(4), X], name=NAME).wait()" for more in ("", "_")),
    "rs.grouped_allreduce_([H, H.copy()], name=NAME, codec=CODEC)",
    *(f"rs.broadcast{more}(X, name=NAME)" for more in ("", "_")),
    *(f"rs.broadcast_async{more}(X, name=NAME).wait()" for more in ("", "_")),
    *(f"rs.{call}(X, name=NAME)" for call in ("allgather", "reduce_scatter", "alltoall")),
    *(f"rs.{call}_async(X, name=NAME).wait()" for call in ("allgather", "reduce_scatter")),
    "rs.alltoall_async(X, [2, 2], name=NAME).wait()",
    "rs.send(X, 1) if RANK == 0 else rs.recv(X, 0)",
    "(rs.send_async(X, 1) if RANK == 0 else rs.recv_async(X, 0)).wait()",
    "rs.allreduce_(X, name=NAME, group=GROUP)",
    "rs.broadcast_parameters({'w': X})",
]


def test_every_public_function_tells_it_on_every_rank(jobs):
    ended = jobs.run(
        2,
        f"""
        class OnDevice:
            __cuda_array_interface__ = {{}}

        class ByDlpack:
            def __dlpack_device__(self):
                return (2, RANK)  # another ordinal on each rank

        def told(form, kind):
            for name in ("w", None):
                try:
                    print("nothing of", form, eval(form, globals() | {{"NAME": name}}))
                except ValueError as error:
                    assert type(error) is kind, repr(error)
                    print(error)
                assert rs.allreduce(np.ones(4), op=rs.Sum).tolist() == [2.0] * 4

        rs.init()
        GROUP = rs.new_group([0, 1])
        H = np.ones(4)
        for form in {FORMS!r}:
            X, CODEC = (H, None) if RANK == 0 else (OnDevice(), "fp16")
            told(form, errors.MismatchError)
            X, CODEC = OnDevice() if RANK == 0 else ByDlpack(), "fp16"
            told(form, errors.ConfigError)
        """,
    )
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    assert ended[0].said == [line.replace("[recv]", "[send]") for line in ended[1].said]
    assert len(ended[0].said) == 4 * len(FORMS)
    for form, *said in zip(FORMS, *[iter(ended[0].said)] * 4, strict=True):
        for told in said[:2]:
            assert "cuda" in told or "codec 'fp16'" in told or "device kind 2" in told, form
            assert "rank 1 " in told, form
            assert "rank 0 " in told, form
        for told in said[2:]:
            assert "an array on cuda was given" in told or "codec='fp16' was given" in told, form
