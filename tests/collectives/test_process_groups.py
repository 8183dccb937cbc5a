"""`new_group` and `group=` as a script meets them: what is refused, and in which words."""

import copy
import pickle

import numpy as np
import pytest

import ringsync as rs
from ringsync.errors import ConfigError, NotInitializedError

from .test_groups import ASYNC_FORMS, FORMS

SINGLE = [rs.allreduce, rs.allreduce_, rs.allgather, rs.broadcast, rs.broadcast_, rs.reduce_scatter,
          rs.alltoall]  # fmt: skip
SINGLE_ASYNC = [rs.allreduce_async, rs.allreduce_async_, rs.allgather_async, rs.broadcast_async,
                rs.broadcast_async_, rs.reduce_scatter_async, rs.alltoall_async]  # fmt: skip
CALLS = {
    **{form.__name__: lambda form=form, **how: form(np.ones(3), **how) for form in SINGLE},
    **{
        form.__name__: lambda form=form, **how: form(np.ones(3), **how).result()
        for form in SINGLE_ASYNC
    },
    **{form.__name__: lambda form=form, **how: form([np.ones(3)], **how)[0] for form in FORMS},
    **{
        form.__name__: lambda form=form, **how: form([np.ones(3)], **how).result()[0]
        for form in ASYNC_FORMS
    },
    "barrier": rs.barrier,
    "barrier_async": lambda **how: rs.barrier_async(**how).wait(),
    "broadcast_object": lambda **how: rs.broadcast_object([1.0] * 3, **how),
    "allgather_object": lambda **how: rs.allgather_object([1.0] * 3, **how)[0],
}
each_call = pytest.mark.parametrize("name", CALLS)


def closed():
    group = rs.new_group([0])
    group.close()
    return group


@each_call
def test_every_collective_takes_a_group(name):
    group = rs.new_group([0])
    result = CALLS[name](group=group)
    assert result is None or list(result) == [1, 1, 1]
    group.close()


@each_call
def test_what_is_no_group_is_refused_by_every_collective(name):
    with pytest.raises(
        ConfigError, match=rf"\[{name}\] group=\[0\] is no ProcessGroup\. Pass what"
    ):
        CALLS[name](group=[0])


@each_call
def test_a_closed_group_is_refused_by_every_collective(name):
    group = closed()
    with pytest.raises(
        ConfigError, match=rf"\[{name}\] group \{{0\}} has been closed\. Close it once"
    ):
        CALLS[name](group=group)


@each_call
def test_a_group_of_an_engine_that_is_gone_is_refused_by_every_collective(name):
    group = rs.new_group([0])
    rs.shutdown()
    with pytest.raises(
        NotInitializedError, match=r"has shut down; .* call ringsync\.init\(\) again"
    ):
        CALLS[name](group=group)
    rs.init()
    rs.new_group([0])  # as the other: the numbers of the two are equal
    with pytest.raises(
        NotInitializedError, match=rf"\[{name}\] group \{{0\}} is of an engine that"
    ):
        CALLS[name](group=group)
    with pytest.raises(NotInitializedError, match=r"\[close\] group \{0\} is of an engine that"):
        group.close()


def test_a_group_that_was_never_made_is_refused():
    group = rs.ProcessGroup.__new__(rs.ProcessGroup)
    with pytest.raises(AttributeError, match=r"_ranks|_runtime"):
        rs.allreduce_(np.ones(3), group=group)


@pytest.mark.parametrize(
    "ranks", [[], [0, 0], [1], [-1], [0, 1], 0, None, "0", [0.0], [None]], ids=repr
)
def test_ranks_that_make_no_group_are_refused_with_what_was_passed(ranks):
    with pytest.raises(ConfigError) as caught:
        rs.new_group(ranks)
    assert str(caught.value).startswith(f"[new_group] ranks={ranks!r}; one rank or more, each once")
    assert rs.new_group([0]).ranks == (0,)


@pytest.mark.parametrize("timeout_s", [0, -1.0, "soon", float("nan")])
def test_a_time_that_is_none_is_refused(timeout_s):
    with pytest.raises(ConfigError, match=rf"\[new_group\] timeout_s={timeout_s!r}; seconds above"):
        rs.new_group([0], timeout_s=timeout_s)


@pytest.mark.parametrize("ranks", [[0], (0,), {0}, range(1), np.array([0]), iter([0])])
def test_a_group_knows_its_ranks(ranks):
    group = rs.new_group(ranks)
    assert isinstance(group, rs.ProcessGroup)
    assert (group.ranks, group.rank(), group.size(), str(group)) == ((0,), 0, 1, "group {0}")
    group.close()
    assert (group.ranks, group.rank(), group.size()) == ((0,), 0, 1)


def test_a_group_is_closed_once():
    group = closed()
    with pytest.raises(ConfigError, match=r"\[close\] group \{0\} has been closed"):
        group.close()


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_group_can_not_be_copied(duplicate):
    group = rs.new_group([0])
    with pytest.raises(ConfigError, match=r"group \{0\} cannot be copied or pickled\. Pass its ra"):
        duplicate(group)


def test_a_root_that_is_no_rank_of_the_group_is_refused():
    group = rs.new_group([0])
    for call in (rs.broadcast, rs.broadcast_, rs.broadcast_async, rs.broadcast_async_):
        with pytest.raises(
            ConfigError, match=rf"\[{call.__name__}\] root=1 is not in group \{{0\}}; one of its ra"
        ):
            call(np.ones(3), 1, group=group)
    with pytest.raises(ConfigError, match=r"\[broadcast_object\] root=None is not in group \{0\}"):
        rs.broadcast_object(1, None, group=group)


def test_calls_between_two_ranks_know_no_group():
    for call in (rs.send, rs.recv, rs.send_async, rs.recv_async):
        with pytest.raises(TypeError, match="unexpected keyword argument 'group'"):
            call(np.ones(3), 1, group=None)


@pytest.mark.parametrize("ranks", [[True], [0, False], np.array([True])], ids=repr)
def test_a_mask_is_no_list_of_ranks(ranks):
    with pytest.raises(
        ConfigError, match=r"^\[new_group\] ranks=.* hold a bool, which is no rank's"
    ):
        rs.new_group(ranks)
    assert rs.new_group(np.array([0])).ranks == (0,)
