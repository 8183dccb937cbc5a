"""Ranks started by hand meet, work, and leave nothing; what they were told wrongly, they say."""

import pytest

from .job import require_ended

WORK = """
rs.init()
x = np.arange(1000.0) + rs.rank()
y = rs.allreduce(x, op=rs.Sum)
n = rs.size()
assert (x == np.arange(1000.0) + rs.rank()).all()
np.testing.assert_array_equal(y, n * np.arange(1000.0) + n * (n - 1) / 2)
print("right")
"""


@pytest.mark.parametrize("size", [1, 2, 8])
def test_ranks_started_by_hand_meet_and_leave_nothing(jobs, size):
    ended = jobs.run(size, WORK)
    require_ended(ended)
    assert [one.out for one in ended] == ["right\n"] * size
    assert jobs.remains() == []


def test_every_form_of_every_collective_is_right_between_processes(jobs):
    ended = jobs.run(
        3,
        """
        rs.init()
        rank, size = rs.rank(), rs.size()
        mine = np.full((4, 5), rank + 1.0, np.float32)
        forms = [
            rs.allreduce(mine), rs.allreduce_(mine.copy()),
            rs.allreduce_async(mine).result(), rs.allreduce_async_(mine.copy()).result(),
        ]
        assert all((form == 2.0).all() and form.shape == (4, 5) for form in forms)
        shared = rs.empty((4, 5), np.int64)
        shared[...] = 10 * rank
        assert rs.allreduce_(shared, op=rs.Sum) is shared and (shared == 30).all()
        for root in range(size):
            forms = [
                rs.broadcast(mine, root), rs.broadcast_(mine.copy(), root),
                rs.broadcast_async(mine, root).result(),
                rs.broadcast_async_(mine.copy(), root).result(),
            ]
            assert all((form == root + 1.0).all() for form in forms)
        rows = np.arange(2 * (rank + 1)).reshape(rank + 1, 2)
        expected = np.concatenate([np.arange(2 * (r + 1)).reshape(r + 1, 2) for r in range(size)])
        np.testing.assert_array_equal(rs.allgather(rows), expected)
        np.testing.assert_array_equal(rs.allgather_async(rows).result(), expected)
        part = np.array_split(np.arange(7), size)[rank]
        rows = np.arange(14.0).reshape(7, 2)
        np.testing.assert_array_equal(rs.reduce_scatter(rows), rows[part])
        np.testing.assert_array_equal(rs.reduce_scatter_async(rows).result(), rows[part])
        everyone = np.arange(size)
        np.testing.assert_array_equal(rs.alltoall(10 * rank + everyone), 10 * everyone + rank)
        mine = np.repeat(everyone, everyone)  # r rows for rank r
        found = rs.alltoall_async(mine, splits=range(size)).result()
        np.testing.assert_array_equal(found, [rank] * (rank * size))
        try:
            rs.alltoall(np.ones(size + 1))
        except errors.ConfigError as error:
            assert f"{size + 1} rows cannot be cut evenly for {size} ranks" in str(error)
        else:
            sys.exit("uneven rows were taken")
        rs.barrier()
        rs.barrier_async().wait()
        for root in range(size):
            given = {"from": rank, "list": list(range(1000))}
            found = rs.broadcast_object(given, root)
            assert found == given | {"from": root} and (found is given) == (rank == root)
        assert rs.allgather_object((rank, "x" * rank)) == [(r, "x" * r) for r in range(size)]
        assert rs.broadcast_object(None, 2) is None
        """,
    )
    require_ended(ended)


def test_two_jobs_at_once_with_ports_of_their_own_do_not_hear_each_other(jobs):
    script = """
        rs.init()
        tell(f"met{RANK}")
        await_word("other met")
        for turn in range(200):
            assert rs.allreduce(np.ones(10), op=rs.Sum)[0] == rs.size()
        print(rs.size())
    """
    first = jobs.start(2, script, MASTER_PORT="29600")
    second = jobs.start(3, script, MASTER_PORT="29601")
    for job in (first, second):
        for rank in range(job.size):
            job.word(f"met{rank}")
    for job in (first, second):
        job.tell("other met")
    for job in (first, second):
        ended = job.end()
        require_ended(ended)
        assert {one.out for one in ended} == {f"{job.size}\n"}


def test_a_job_may_meet_again_after_shutdown(jobs):
    ended = jobs.run(
        3,
        """
        for turn in range(5):
            assert not rs.is_initialized()
            rs.init()
            rs.init()
            assert rs.allreduce(np.ones(3), op=rs.Sum)[0] == 3
            rs.shutdown()
            rs.shutdown()
        """,
    )
    require_ended(ended)
    assert jobs.remains() == []


def test_threads_that_start_a_rank_at_once_start_it_once(jobs):
    ended = jobs.run(
        2,
        """
        import threading
        started = []
        def start():
            rs.init()
            started.append(rs.size())
        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(started, rs.allreduce(np.ones(1), op=rs.Sum)[0])
        """,
    )
    require_ended(ended)
    assert [one.said for one in ended] == [["[2, 2, 2, 2] 2.0"]] * 2


def test_ranks_that_do_not_come_are_named_and_nothing_is_left(jobs):
    job = jobs.start(4, "rs.init()", start=2, RINGSYNC_START_TIMEOUT_S="3")
    for one in job.end():
        assert one.code == 1
        assert "RendezvousError: [rendezvous] ranks {2, 3} of 4 missing after 3 s" in one.err
    assert jobs.remains() == []


def test_a_missing_rank_0_is_named_and_nothing_is_left(jobs):
    job = jobs.start(2, "rs.init()", start=0, RINGSYNC_START_TIMEOUT_S="0.5")
    jobs.add(job, 1, RINGSYNC_START_TIMEOUT_S="0.5")
    [one] = job.end()
    assert one.code == 1
    assert "[rendezvous] ranks {0} of 2 missing after 0.5 s" in one.err
    assert jobs.remains() == []


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RANK": "2"}, "RANK=2 and WORLD_SIZE=2 do not fit together"),
        ({"RANK": ""}, "WORLD_SIZE='2' is set but RANK is not"),
        ({"WORLD_SIZE": ""}, "RANK='0' is set but WORLD_SIZE is not"),
        ({"LOCAL_WORLD_SIZE": "1"}, "ranks of one host only"),
        ({"RANK": "first"}, "RANK='first' is not a whole number"),
        ({"RINGSYNC_TIMEOUT_S": "soon"}, "RINGSYNC_TIMEOUT_S='soon' is not a finite number"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_contradictory_environment_is_one_clear_error(jobs, variables, message):
    job = jobs.start(2, "rs.init()", start=0)
    jobs.add(job, 0, **variables)
    [one] = job.end()
    assert one.code == 1
    assert one.err.splitlines()[-1].startswith("ringsync.errors.ConfigError: [config] ")
    assert message in one.err.splitlines()[-1]
    assert jobs.remains() == []


def test_the_share_of_cores_is_told_once_and_only_where_the_user_has_not_decided(jobs):
    ended = jobs.run(3, "rs.init(); rs.barrier()", OMP_NUM_THREADS="")
    require_ended(ended)
    assert [one.err.count("thread(s)") for one in ended] == [1, 0, 0]
    ended = jobs.run(3, "rs.init(); rs.barrier()", OMP_NUM_THREADS="2")
    assert [one.err for one in ended] == ["", "", ""]


def test_a_timeline_is_written_by_every_rank_at_exit(jobs):
    ended = jobs.run(
        2,
        """
        import json
        rs.init()
        rs.start_timeline(BOARD / "timeline")
        handles = [rs.allreduce_async(np.ones(100), name=f"t{i}") for i in range(20)]
        for handle in handles:
            handle.wait()
        rs.stop_timeline()
        found = json.loads((BOARD / "timeline" / f"rank.0{RANK}.json").read_text())
        assert (found["rank"], found["size"], found["dropped"]) == (RANK, 2, 0)
        runs = [event["args"]["tensor"] for event in found["events"] if event["name"] == "run"]
        assert runs == [f"t{i}" for i in range(20)], runs
        rs.start_timeline(BOARD / "second")
        rs.barrier()
        """,
    )
    require_ended(ended)


def test_registered_arrays_by_the_hundred_fit_into_the_usual_limit_of_descriptors(jobs):
    ended = jobs.run(
        4,
        """
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
        rs.init()
        arrays = [rs.empty(10) for _ in range(161)]  # the parameters of a ResNet-50
        for array in arrays:
            array[...] = RANK
            rs.allreduce_(array, op=rs.Sum)
            assert array[9] == 6.0
        """,
    )
    require_ended(ended)


@pytest.mark.alone
def test_an_idle_engine_sleeps(jobs):
    ended = jobs.run(
        2,
        """
        import resource
        def switches():
            total = 0
            for task in Path("/proc/self/task").iterdir():
                if int(task.name) != os.getpid():
                    lines = (task / "status").read_text().splitlines()
                    total += sum(int(l.split()[1]) for l in lines if "ctxt_switches" in l)
            return total
        rs.init()
        for _ in range(10):
            rs.allreduce_async(np.ones(1000)).wait()
        rs.barrier()
        time.sleep(0.1)  # the others leave the barrier, and then all is idle
        before, usage = switches(), resource.getrusage(resource.RUSAGE_SELF)
        time.sleep(1.5)  # what is counted: an engine with nothing to do
        after, used = switches(), resource.getrusage(resource.RUSAGE_SELF)
        cpu_s = used.ru_utime + used.ru_stime - usage.ru_utime - usage.ru_stime
        print(after - before, cpu_s)
        rs.barrier()
        """,
    )
    require_ended(ended)
    for one in ended:
        woken, cpu_s = one.out.split()
        assert int(woken) <= 15
        assert float(cpu_s) <= 0.05


def test_ranks_that_see_unlike_many_cores_start_alike(jobs):
    ended = jobs.run(
        2,
        """
        if RANK == 0:
            os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        rs.init()
        print(float(rs.allreduce(np.ones(3), op=rs.Sum)[0]))
        """,
        RINGSYNC_START_TIMEOUT_S="10",
    )
    assert [one.said for one in ended] == [["2.0"]] * 2, [one.err for one in ended]
