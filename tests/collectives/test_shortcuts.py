"""Functions whose ordinary calls bypass Python: nobody can tell, except by the time they take."""

import copy
import inspect
import pickle
import pydoc
import weakref

import numpy as np
import pytest

import ringsync as rs
from ringsync.errors import ConfigError, NotInitializedError

SHORTCUTS = {
    "allreduce_": rs.allreduce_,
    "allreduce_async_": rs.allreduce_async_,
    "grouped_allreduce_": rs.grouped_allreduce_,
    "grouped_allreduce_async_": rs.grouped_allreduce_async_,
    "barrier": rs.barrier,
}


@pytest.mark.parametrize("name", SHORTCUTS)
def test_a_shortcut_looks_like_its_function(name):
    call = SHORTCUTS[name]
    assert call.__name__ == name
    assert call.__doc__ == call.__wrapped__.__doc__
    assert inspect.signature(call) == inspect.signature(call.__wrapped__)
    assert inspect.isroutine(call)
    assert name in pydoc.plain(pydoc.render_doc(call))
    assert weakref.ref(call)() is call


@pytest.mark.parametrize("name", SHORTCUTS)
def test_a_shortcut_is_pickled_and_copied_by_its_name(name):
    call = SHORTCUTS[name]
    assert pickle.loads(pickle.dumps(call)) is call
    assert copy.deepcopy(call) is copy.copy(call) is call


def test_a_shortcut_that_a_class_holds_is_its_method():
    class Gradient(np.ndarray):
        average = rs.allreduce_

    gradient = np.ones(3).view(Gradient)
    assert gradient.average(op=rs.Sum).tolist() == [1, 1, 1]
    assert Gradient.average is rs.allreduce_


@pytest.mark.parametrize("name", SHORTCUTS)
def test_what_is_no_argument_is_refused_as_by_its_function(name):
    call = SHORTCUTS[name]
    for wrong in [((), {"other": 1}), ((np.ones(3),) * 2, {})]:
        with pytest.raises(TypeError) as by_function:
            call.__wrapped__(*wrong[0], **wrong[1])
        with pytest.raises(TypeError) as by_shortcut:
            call(*wrong[0], **wrong[1])
        assert str(by_shortcut.value) == str(by_function.value)


def test_a_barrier_has_no_op():
    with pytest.raises(TypeError, match="unexpected keyword argument 'op'"):
        rs.barrier(op=rs.Sum)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("op", 1),
        ("op", rs.Adasum),
        ("name", 7),
        ("name", "\ud800"),
        ("codec", "fp16"),
        ("prescale", float("inf")),
        ("postscale", "2"),
        ("timeout_s", 0.0),
        ("timeout_s", "soon"),
    ],
)
def test_what_cannot_be_used_is_refused_as_by_the_function(keyword, value):
    with pytest.raises(ConfigError) as by_function:
        rs.allreduce_.__wrapped__(np.ones(3), **{keyword: value})
    with pytest.raises(ConfigError) as by_shortcut:
        rs.allreduce_(np.ones(3), **{keyword: value})
    assert str(by_shortcut.value) == str(by_function.value)


def test_what_is_unusual_and_can_be_used_goes_through_the_function():
    keyword = "".join(["time", "out_s"])  # not the interned text
    array = memoryview(bytearray(np.full(3, 2.0)))
    result = rs.allreduce_(array, prescale=3, postscale=np.float32(0.5), **{keyword: np.float64(9)})
    assert bytes(result) == bytes(array)
    [result] = rs.grouped_allreduce_(iter([np.full(3, 2)]), timeout_s=1)
    assert result.tolist() == [2, 2, 2]


def test_without_an_engine_a_shortcut_says_so():
    rs.shutdown()
    with pytest.raises(
        NotInitializedError, match=r"has shut down; .* call ringsync\.init\(\) again"
    ):
        rs.allreduce_(np.ones(3))


def test_ranks_that_come_by_the_shortcut_and_by_the_function_meet(jobs):
    ended = jobs.run(
        2,
        """
def way(call):
    return call if RANK == 0 else call.__wrapped__

rs.init()
found = []
for more in [{}, {"op": rs.Sum}, {"op": rs.Max, "name": "x"}, {"prescale": 2.0, "postscale": 3.0}]:
    array = lambda: np.arange(3.0) + RANK
    found.append(way(rs.allreduce_)(array(), **more))
    found.append(way(rs.allreduce_async_)(array(), **more).result())
    found += way(rs.grouped_allreduce_)([array(), array()], **more)
    found += way(rs.grouped_allreduce_async_)([array(), array()], **more).result()
    way(rs.barrier)(timeout_s=20.0)
print([values.tolist() for values in found])
""",
    )
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    once = [[0.5, 1.5, 2.5], [1, 3, 5], [1, 2, 3], [3, 9, 15]]
    assert [one.said for one in ended] == [
        [str([[float(x) for x in y] for y in once for _ in range(6)])]
    ] * 2
