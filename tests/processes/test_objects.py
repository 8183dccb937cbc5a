"""What ranks disagree on is told under the name of the call that the user made."""

from .job import require_ended

TOLD = """
rs.init()
net = rs.nn.Linear(3, 2)
sgd = rs.optim.SGD(net.parameters(), lr=0.1)

def told(call):
    try:
        call()
    except errors.MismatchError as error:
        print(error)

"""


def test_ranks_that_disagree_are_told_by_the_name_of_the_call_that_each_made(jobs):
    ended = jobs.run(
        3,
        TOLD
        + """
root = int(RANK == 2)
told(lambda: rs.broadcast_object(1, root, name="w"))
told(lambda: rs.broadcast_parameters(net, root))
told(lambda: rs.broadcast_optimizer_state(sgd, root))
told(lambda: [rs.allgather_object, rs.broadcast_object, rs.allgather_object][RANK](1))
rs.barrier()
""",
    )
    require_ended(ended)
    roots = "rank 2 named root 1, rank 0 0. Use one root on all ranks."
    for one, last in zip(ended, ("allgather", "broadcast", "allgather"), strict=True):
        own, parameters, state, mixed = one.said
        assert own == f"[broadcast_object] 'w': {roots}"
        assert parameters == f"[broadcast_parameters] 'parameter.weight': {roots}"
        assert state.startswith("[broadcast_optimizer_state] 'unnamed ")
        assert state.endswith(f"': {roots}")
        assert mixed.startswith(f"[{last}_object] 'unnamed ")


def test_an_object_that_does_not_travel_is_told_with_the_reason_and_work_goes_on(jobs):
    ended = jobs.run(
        3,
        """
        class Odd(Exception):
            def __str__(self):
                raise ValueError

        class Stuck:
            def __reduce__(self):
                raise Odd

        class Torn:
            def __reduce__(self):
                return tear, ()

        def tear():
            raise ValueError("no such file")

        rs.init()
        for call, what in [
            (rs.broadcast_object, Stuck()), (rs.broadcast_object, lambda: 1),
            (rs.allgather_object, Stuck() if RANK == 1 else 1),
            (rs.broadcast_object, Torn()), (rs.allgather_object, Torn() if RANK == 1 else 1),
        ]:
            try:
                print(type(call(what)).__name__)
            except errors.ConfigError as error:
                print(error)
        assert rs.allgather_object(RANK) == [0, 1, 2]
        """,
    )
    require_ended(ended)
    for rank, one in enumerate(ended):
        stuck, nameless, gathered, torn, gathered_torn = one.said
        assert stuck == (
            "[broadcast_object] the object of rank 0 cannot be pickled (Odd: <exception str() "
            "failed>). Send its parts."
        )
        assert nameless.startswith("[broadcast_object] the object of rank 0 cannot be pickled (")
        assert "<lambda>" in nameless
        assert gathered == stuck.replace("broadcast", "allgather").replace("rank 0", "rank 1")
        reason = f"on rank {rank} (ValueError: no such file). Send its parts."
        begin = "the object of rank {} cannot be unpickled"
        told = f"[broadcast_object] {begin.format(0)} {reason}"
        assert torn == ("Torn" if rank == 0 else told)
        assert gathered_torn == f"[allgather_object] {begin.format(1)} {reason}"


def test_what_a_joined_rank_has_nothing_for_is_told_by_the_name_of_the_call(jobs):
    ended = jobs.run(
        3,
        TOLD
        + """
if RANK != 1:
    told(lambda: rs.allgather_object(1, name="w"))
    told(lambda: rs.broadcast_parameters(net))
    told(lambda: rs.DistributedOptimizer(sgd).step())
rs.join()
""",
    )
    require_ended(ended)
    calls = (
        "[allgather_object] 'w.size'",
        "[broadcast_parameters] 'broadcast_parameters.start'",
        "[gradients.0] 'gradients.0.start'",
    )
    for rank in (0, 2):
        for line, call in zip(ended[rank].said, calls, strict=True):
            assert line.startswith(f"{call}: rank 1 has joined, with nothing to contribute to ")
