"""What no rank can serve yet, arrays on devices and codecs: all ranks find it out together."""

import numpy as np
import pytest

from ringsync.device_arrays import DeviceArray
from ringsync.errors import ConfigError, MismatchError

from ..ranks import TRANSPORTS, Collective, finish, join, world

F32 = np.float32
N = 3
ODD = 2  # the rank that asks for something else
CUDA = DeviceArray(2, "memory that no processor reads")
ROCM = DeviceArray(10, "likewise")

ON_CUDA = (
    "an array on cuda was given, and ringsync has no way to it. Copy it to the host first, on all "
    "ranks."
)
FP16 = "codec='fp16' was given; no codec is built yet. Leave it None "


def alltoall(rank, x, **how):
    size = 2 if "group" in how else N
    # What lies elsewhere has no rows that are known here.
    rows = 0 if isinstance(x, DeviceArray) else len(x) // size
    return rank.alltoall(x, (rows,) * size, **how)


CALLS = {
    "allreduce": lambda rank, x, **how: rank.allreduce(x, **how),
    "allgather": lambda rank, x, **how: rank.allgather(x, **how),
    "broadcast": lambda rank, x, **how: rank.broadcast(x, **how),
    "reduce_scatter": lambda rank, x, **how: rank.reduce_scatter(x, **how),
    "alltoall": alltoall,
}
every = pytest.mark.parametrize("call", CALLS)
# Few travel with their announcement, many alone.
both_lengths = pytest.mark.parametrize("length", [12, 120_000], ids=["carried", "alone"])


@pytest.fixture(scope="module", params=TRANSPORTS)
def ranks(request):
    """One world for all rows: whatever they leave behind, the next one meets."""
    with world(N, request.param) as made:
        yield made


def story_of(made, work, kind):
    """The sentence that all ranks raise; the next call without a name meets on all."""
    (story,) = {str(error) for error in made.errors(work, kind)}
    total = sum(range(1, made.ranks[0].size + 1))
    sums = made.each(lambda rank: rank.allreduce(np.full(3, rank.rank + 1.0)))
    assert [x[0] for x in sums] == [total] * len(sums)
    made.require_usable()
    return story


@every
@both_lengths
@pytest.mark.parametrize("name", ["w", None])
@pytest.mark.parametrize("odd", [ODD, 0])
def test_an_array_on_a_device_of_one_rank_is_told_on_all(ranks, call, length, name, odd):
    arrays = [np.full(length, rank + 1, F32) for rank in range(N)]

    def work(rank):
        CALLS[call](rank, CUDA if rank.rank == odd else arrays[rank.rank], name=name)

    story = story_of(ranks, work, MismatchError)
    told = "sent an array on cuda, rank 0 one" if odd else "sent an array on cpu, rank 0 one"
    assert story.startswith(f"[{call}] '{name or 'unnamed '}")
    assert f"': rank {odd or 1} {told} on {'cpu' if odd else 'cuda'}. Use one kind " in story
    assert all((x == rank + 1).all() for rank, x in enumerate(arrays)), "data has moved"


def test_an_array_on_a_device_is_not_mistaken_for_an_empty_one(ranks):
    # Of both the same is known otherwise.
    story = story_of(
        ranks,
        lambda rank: rank.allreduce(CUDA if rank.rank == ODD else np.ones(0, np.uint8), name="w"),
        MismatchError,
    )
    assert "rank 2 sent an array on cuda, rank 0 one on cpu. " in story


@every
def test_two_kinds_of_device_are_told_apart(ranks, call):
    story = story_of(
        ranks,
        lambda rank: CALLS[call](rank, ROCM if rank.rank == ODD else CUDA, name="w"),
        MismatchError,
    )
    assert story.startswith(
        f"[{call}] 'w': rank 2 sent an array on rocm, rank 0 one on cuda. Use one kind of device "
    )


@every
@pytest.mark.parametrize("name", ["w", None])
def test_arrays_on_the_devices_of_all_ranks_are_refused_on_all(ranks, call, name):
    story = story_of(ranks, lambda rank: CALLS[call](rank, CUDA, name=name), ConfigError)
    assert story.startswith(f"[{call}] '{name or 'unnamed '}")
    assert f"': {ON_CUDA}" in story


@both_lengths
@pytest.mark.parametrize("odd", [ODD, 0])
@pytest.mark.parametrize("other", ["", "int8"])
def test_a_codec_of_one_rank_is_told_on_all(ranks, length, odd, other):
    def work(rank):
        rank.allreduce(np.ones(length, F32), name="w", codec="fp16" if rank.rank == odd else other)

    story = story_of(ranks, work, MismatchError)
    without = f"codec '{other}'" if other else "no codec"
    first, second = ("codec 'fp16'", without) if odd else (without, "codec 'fp16'")
    assert story.startswith(
        f"[allreduce] 'w': rank {odd or 1} asked for {first}, rank 0 {second}. Use one codec on "
    )


@both_lengths
def test_a_codec_of_all_ranks_is_refused_on_all(ranks, length):
    story = story_of(
        ranks, lambda rank: rank.allreduce(np.ones(length), name="w", codec="fp16"), ConfigError
    )
    assert story == f"[allreduce] 'w': {FP16}on all ranks."


def test_codecs_whose_long_names_end_differently_are_told_apart(ranks):
    def work(rank):
        rank.allreduce(np.ones(3), codec=f"of fifteen, {rank.rank:03}", name="w")

    story = story_of(ranks, work, MismatchError)
    assert "rank 1 asked for codec 'of fifteen, 001', rank 0 codec 'of fifteen, 000'. " in story


@pytest.mark.parametrize("receiver", ["host", "device"])
def test_a_send_between_host_and_device_is_told_at_both_ends(ranks, receiver):
    ends = (CUDA, np.zeros(3)) if receiver == "host" else (np.zeros(3), CUDA)

    def work(rank):
        if rank.rank == 0:
            rank.send(ends[0], 1, name="w")
        if rank.rank == 1:
            rank.recv(ends[1], 0, name="w")

    *errors, bystander = ranks.outcomes(work)
    assert bystander is None
    assert all(type(error) is MismatchError for error in errors), errors
    (story,) = {str(error) for error in errors}
    into, sent = ("cpu", "cuda") if receiver == "host" else ("cuda", "cpu")
    told = f"[send] 'w': rank 1 receives into an array on {into}, rank 0 sent one on {sent}. "
    assert story.startswith(told)
    ranks.require_usable()


def test_a_send_from_device_to_device_is_refused_at_both_ends(ranks):
    def work(rank):
        if rank.rank == ODD:
            return
        word = "recv" if rank.rank else "send"
        with pytest.raises(ConfigError, match=rf"^\[{word}\] 'w': {ON_CUDA}"):
            rank.send(CUDA, 1, name="w") if rank.rank == 0 else rank.recv(CUDA, 0, name="w")

    ranks.each(work)
    ranks.require_usable()


@both_lengths
def test_of_a_group_of_arrays_the_one_on_a_device_is_told_and_the_others_are_reduced(ranks, length):
    def work(rank, kind, elsewhere):
        arrays = [np.full(length, rank.rank + 1, F32) for _ in range(3)]
        given = [arrays[0], CUDA if elsewhere else arrays[1], arrays[2]]
        with pytest.raises(kind, match=r"^\[grouped_allreduce\] 'g\.1': .*an array on cuda"):
            finish(rank.submit_all(given, name="g"))
        assert [float(array[-1]) for array in arrays] == [6, rank.rank + 1, 6]

    ranks.each(lambda rank: work(rank, MismatchError, rank.rank == ODD))
    ranks.each(lambda rank: work(rank, ConfigError, True))
    ranks.require_usable()


def test_many_in_flight_go_on_around_the_one_on_a_device(ranks):
    def work(rank):
        arrays = [np.ones(3) for _ in range(8)]
        given = [*arrays[:4], CUDA if rank.rank == ODD else np.ones(3), *arrays[4:]]
        handles = [rank.submit(Collective.ALLREDUCE, x) for x in given]
        with pytest.raises(MismatchError, match="rank 2 sent an array on cuda, rank 0 one on cpu"):
            finish(handles.pop(4))
        for handle in handles:
            finish(handle)
        assert [x[0] for x in arrays] == [N] * 8

    ranks.each(work)
    ranks.require_usable()


@every
def test_ranks_of_a_group_find_it_out_without_the_others(ranks, call):
    group = ranks.group(0, 2)

    def told(kind, on_device):
        def one(rank):
            if rank.rank not in group.members:
                return None
            x = CUDA if rank.rank in on_device else np.ones(12)
            with pytest.raises(kind) as raised:
                CALLS[call](rank, x, name="w", group=group.number[rank.rank])
            return str(raised.value)

        return set(ranks.each(one)) - {None}

    assert told(MismatchError, {2}) == {
        f"[{call}] 'w': rank 2 sent an array on cuda, rank 0 one on cpu. Use one kind of device on "
        "all ranks."
    }
    assert told(ConfigError, {0, 2}) == {f"[{call}] 'w': {ON_CUDA}"}
    group.close_all()
    ranks.require_usable()


@pytest.mark.parametrize("how", [{}, {"codec": "fp16"}], ids=["device", "codec"])
@pytest.mark.parametrize("kind", [MismatchError, ConfigError])
def test_a_rank_that_has_joined_stands_in_for_none_of_it(ranks, how, kind):
    def work(rank):
        if rank.rank == 1:
            return join(rank)
        is_asked = kind is ConfigError or rank.rank == ODD
        x = CUDA if is_asked and not how else np.ones(3)
        with pytest.raises(kind, match=r"^\[allreduce\] 'w': "):
            rank.allreduce(x, name="w", **(how if is_asked else {}))
        array = np.ones(3)
        rank.allreduce(array)
        assert array.tolist() == [2.0] * 3
        return join(rank)

    ranks.each(work)
    ranks.require_usable()
