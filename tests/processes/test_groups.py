"""Groups of processes in use: by some ranks, independent of all others."""

from .job import require_ended


def test_every_collective_of_a_group_counts_its_ranks_alone(jobs):
    ended = jobs.run(
        4,
        """
        rs.init()
        odd, pair, whole = rs.new_group([3, 1]), rs.new_group([0, 3]), rs.new_group(range(4))
        assert odd.ranks == (1, 3) and whole.size() == 4 and whole.rank() == RANK
        if RANK in odd.ranks:
            at = odd.rank()
            assert odd.ranks[at] == RANK
            x = np.full(3, RANK + 1.0)
            assert rs.allreduce(x, group=odd).tolist() == [3.0] * 3
            assert rs.allreduce_(x.copy(), op=rs.Sum, group=odd, name="x").tolist() == [6.0] * 3
            assert rs.allreduce_async_(x.copy(), op=rs.Max, group=odd).result()[0] == 4
            assert rs.grouped_allreduce_([x.copy(), x[:1].copy()], group=odd)[1].tolist() == [3.0]
            assert rs.allgather(x[: at + 1], group=odd).tolist() == [2.0, 4.0, 4.0]
            assert rs.broadcast(x, 3, group=odd).tolist() == [4.0] * 3
            assert rs.broadcast_object(RANK, 3, group=odd) == 3
            assert rs.allgather_object(RANK, group=odd) == [1, 3]
            assert rs.reduce_scatter(np.arange(4.0), op=rs.Sum, group=odd).tolist() == (
                [[0.0, 2.0], [4.0, 6.0]][at]
            )
            assert rs.alltoall(x[:2], group=odd).tolist() == [2.0, 4.0]
            mine = [[2.0, 4.0], [2.0, 2.0, 4.0, 4.0]][at]
            assert rs.alltoall(x, [1, 2], group=odd).tolist() == mine
            rs.barrier(group=odd)
        if RANK in pair.ranks:
            assert rs.allreduce(np.ones(500_000), op=rs.Sum, group=pair)[-1] == 2
        assert rs.allreduce(np.ones(3), op=rs.Sum, group=whole)[0] == 4
        assert rs.allreduce(np.ones(3), op=rs.Sum)[0] == 4
        odd.close(), pair.close(), whole.close()
        """,
    )
    require_ended(ended)
    assert jobs.remains() == []


def test_who_is_not_in_a_group_gets_one_clear_error_of_every_use(jobs):
    ended = jobs.run(
        3,
        """
        rs.init()
        group = rs.new_group([0, 2])
        if RANK == 1:
            for use in (
                group.rank, lambda: rs.allreduce(np.ones(3), group=group),
                lambda: rs.allreduce_(np.ones(3), group=group), lambda: rs.barrier(group=group),
                lambda: rs.broadcast_object(1, group=group),
                lambda: rs.alltoall(np.ones(3), group=group),
            ):
                try:
                    use()
                except errors.ConfigError as error:
                    print(error)
            assert group.ranks == (0, 2) and group.size() == 2
        else:
            rs.barrier(group=group)
        rs.barrier()
        group.close()
        """,
    )
    require_ended(ended)
    uses = ["rank", "allreduce", "allreduce_", "barrier", "broadcast_object", "alltoall"]
    assert ended[1].said == [
        f"[{use}] rank 1 is not in group {{0, 2}}; its ranks alone make this call. Ask rs.rank() "
        "in group.ranks first."
        for use in uses
    ]


def test_a_forked_child_finds_its_parent_s_group_unusable_and_does_no_harm(jobs):
    ended = jobs.run(
        2,
        """
        rs.init()
        group = rs.new_group([0, 1])
        rs.barrier(group=group)
        child = os.fork()
        if child == 0:
            signal.alarm(8)
            require_inert(
                group.close, group.rank, lambda: rs.allreduce_(np.ones(3), group=group)
            )
            del group
            import gc
            gc.collect()
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        for _ in range(50):
            assert rs.allreduce(np.ones(3), op=rs.Sum, group=group)[0] == 2
        group.close()
        """,
    )
    require_ended(ended)


def test_a_group_waits_for_one_rank_while_another_group_of_the_same_ranks_goes_on(jobs):
    ended = jobs.run(
        3,
        """
        rs.init()
        a, b, c = rs.new_group([0, 1]), rs.new_group([0, 1]), rs.new_group([0, 2])
        late = np.ones(300_000)
        if RANK == 0:
            waiting = rs.allreduce_async_(late, op=rs.Sum, group=a)
        for turn in range(200):
            for group in (b, c):
                if RANK in group.ranks:
                    assert rs.allreduce_(np.full(1 + 500 * turn, 2.0), group=group)[-1] == 2
        if RANK == 0:
            print(waiting.done())
            tell("done")
        await_word("done")
        if RANK == 1:
            rs.allreduce_(late, op=rs.Sum, group=a)
        if RANK == 0:
            waiting.wait()
        assert RANK == 2 or late[0] == 2
        rs.barrier()
        """,
    )
    require_ended(ended)
    assert ended[0].said == ["False"]


def test_the_survivors_in_a_group_name_a_killed_rank(jobs):
    job = jobs.start(
        4,
        """
        rs.init()
        group = rs.new_group([1, 2, 3])
        try:
            for turn in range(1_000_000):
                if turn == 20:
                    tell(f"streaming{RANK}")
                if RANK in group.ranks:
                    rs.allreduce(np.zeros(50_000), name=f"t{turn}", group=group)
                else:
                    await_word("over")
                    break
        except errors.PeerLostError as error:
            print(error.rank, error.tensor[0])
            tell("over")
        """,
    )
    for rank in (1, 2, 3):
        job.word(f"streaming{rank}")
    job.kill(2)
    ended = job.end()
    assert [ended[rank].said for rank in (0, 1, 3)] == [[], ["2 t"], ["2 t"]], job.errors()
