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
        "[broadcast_parameters] 'broadcast_parameters.start.size'",
        "[gradients.0] 'gradients.0.start.size'",
    )
    for rank in (0, 2):
        for line, call in zip(ended[rank].said, calls, strict=True):
            assert line.startswith(f"{call}: rank 1 has joined, with nothing to contribute to ")
