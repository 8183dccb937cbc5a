"""A rank's environment is the promised one, whatever the launcher itself was started under."""

import json
import os
import stat
from pathlib import Path

SHOW = """
    import json, os, signal, sys
    rendezvous = os.environ["RINGSYNC_RENDEZVOUS"]
    facts = {
        "environ": dict(os.environ),
        "mode": os.stat(rendezvous).st_mode,
        "stdin": sys.stdin.read(),
        "session": os.getsid(0) == os.getpid() == os.getpgid(0),
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "descriptors": sorted(map(int, os.listdir("/proc/self/fd")))[:-1],
    }
    with open(f"facts.{os.environ['RANK']}", "w") as file:
        json.dump(facts, file)
"""
FOREIGN = {
    "RINGSYNC_RANK": "9",
    "HOROVOD_HOSTNAME": "far",
    "HOROVOD_GLOO_RENDEZVOUS_ADDR": "10.0.0.1",
    "OMPI_COMM_WORLD_RANK": "9",
    "PMI_RANK": "9",
    "PMIX_RANK": "9",
    "MPI_LOCALRANKID": "9",
    "SLURM_PROCID": "9",
    "SLURM_STEP_ID": "0",
    "TORCHELASTIC_RUN_ID": "x",
    "ROLE_RANK": "9",
}
TUNING = {
    "RINGSYNC_FUSION_MIB": "8",
    "HOROVOD_FUSION_THRESHOLD": "1",
    "SLURM_JOB_ID": "3",
    "OMPI_MCA_btl": "self",
}


UNDECIDED = {"OMP_NUM_THREADS": "", "OPENBLAS_NUM_THREADS": ""}


def facts_of(launcher, size: int, *options: str, env=None) -> list[dict]:
    done = launcher.run("-np", str(size), *options, launcher.script(SHOW), env=env)
    assert done.returncode == 0, done.stderr
    paths = [launcher.directory / f"facts.{rank}" for rank in range(size)]
    return [json.loads(path.read_text()) for path in paths]


def test_all_three_families_name_the_same_numbers(launcher):
    for rank, facts in enumerate(facts_of(launcher, 3)):
        found = facts["environ"]
        for family, names in {
            "RINGSYNC_": "RANK SIZE LOCAL_RANK LOCAL_SIZE NODE_RANK NUM_NODES",
            "": "RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE GROUP_RANK",
            "HOROVOD_": "RANK SIZE LOCAL_RANK LOCAL_SIZE CROSS_RANK CROSS_SIZE",
        }.items():
            values = [int(found[family + name]) for name in names.split()]
            assert values == [rank, 3, rank, 3, 0, 1][: len(values)]
        assert found["MASTER_ADDR"] == "127.0.0.1"
        assert found["PYTHONUNBUFFERED"] == "1"


def test_one_job_has_one_id_one_port_and_one_private_directory(launcher):
    first, second = facts_of(launcher, 2)
    for name in ("RINGSYNC_JOB_ID", "RINGSYNC_RENDEZVOUS", "MASTER_PORT"):
        assert first["environ"][name] == second["environ"][name]
    assert int(first["environ"]["RINGSYNC_JOB_ID"], 16) > 0
    assert 1024 < int(first["environ"]["MASTER_PORT"]) < 32768
    directory = Path(first["environ"]["RINGSYNC_RENDEZVOUS"])
    assert directory.name.startswith("ringsync-")
    assert len(os.fsencode(directory)) < 80
    assert stat.S_IMODE(first["mode"]) == 0o700
    assert not directory.exists()


def test_streams_of_a_gpu_have_queues_of_their_own_unless_the_user_has_chosen(launcher):
    name = "CUDA_DEVICE_MAX_CONNECTIONS"
    without = {key: value for key, value in os.environ.items() if key != name}
    for chosen, expected in (({}, "32"), ({name: "1"}, "1")):
        (facts,) = facts_of(launcher, 1, env=without | chosen)
        assert facts["environ"][name] == expected


def test_numbers_of_other_launchers_are_removed_and_tuning_is_kept(launcher):
    (facts,) = facts_of(launcher, 1, env=FOREIGN | TUNING)
    found = facts["environ"]
    assert found["RINGSYNC_RANK"] == "0"
    assert not (FOREIGN.keys() - {"RINGSYNC_RANK"}) & found.keys()
    assert TUNING.items() <= found.items()


def test_a_rank_starts_clean(launcher):
    for facts in facts_of(launcher, 2):
        assert facts["stdin"] == ""
        assert facts["session"]
        assert facts["mask"] == []
        assert facts["descriptors"] == [0, 1, 2]


def test_exports_are_passed_on_and_set(launcher):
    (facts,) = facts_of(launcher, 1, "-x", "OLD", "-x", "NEW=a=b", env={"OLD": "1"})
    assert facts["environ"]["OLD"] == "1"
    assert facts["environ"]["NEW"] == "a=b"


def test_cores_are_shared_unless_the_user_chose(launcher):
    cores = len(os.sched_getaffinity(0))
    for facts in facts_of(launcher, 2, env=UNDECIDED):
        assert facts["environ"]["OMP_NUM_THREADS"] == str(max(1, cores // 2))
        assert facts["environ"]["OPENBLAS_NUM_THREADS"] == str(max(1, cores // 2))
    (facts,) = facts_of(launcher, 1, "-x", "OMP_NUM_THREADS=5", env=UNDECIDED)
    assert facts["environ"]["OMP_NUM_THREADS"] == "5"
    assert facts["environ"]["OPENBLAS_NUM_THREADS"] == ""


def test_the_share_of_cores_is_told(launcher):
    cores = len(os.sched_getaffinity(0))
    told = launcher.run("-np", "1", "true", env=UNDECIDED).stderr
    assert "/ 1 rank); set OMP_NUM_THREADS to choose" in told
    assert str(cores) in told


def test_the_timeline_directory_is_absolute_and_emptied(launcher):
    directory = launcher.directory / "trace"
    directory.mkdir()
    (directory / "rank.07.json").write_text("old")
    (directory / "rank.log").write_text("mine")
    (facts,) = facts_of(launcher, 1, "--timeline", "trace", "--start-timeout", "5")
    assert facts["environ"]["RINGSYNC_TIMELINE"] == str(directory)
    assert facts["environ"]["RINGSYNC_START_TIMEOUT_S"] == "5"
    assert [path.name for path in directory.iterdir()] == ["rank.log"]


RECORD = """
    import json, os
    rank = int(os.environ["RANK"])
    if rank != 1:
        event = {"lane": "train", "name": "step", "start_ns": 5, "end_ns": 9}
        facts = {"schema": 1, "rank": rank, "size": 3, "host": "h", "pid": 1, "dropped": 0}
        path = os.path.join(os.environ["RINGSYNC_TIMELINE"], f"rank.{rank:02d}.json")
        with open(path, "w") as file:
            json.dump(facts | {"events": [event]}, file)
"""


def test_the_ranks_timelines_are_merged_and_missing_ones_are_told(launcher):
    done = launcher.run("-np", "3", "--timeline", "trace", launcher.script(RECORD))
    merged = launcher.directory / "trace/timeline.json"
    assert done.returncode == 0
    assert f"timeline of 2 ranks: {merged} (open it in ui.perfetto.dev" in done.stderr
    assert "no file of ranks [1]" in done.stderr
    assert len(json.loads(merged.read_text())["traceEvents"]) > 2


def test_a_timeline_that_nobody_wrote_is_told_and_not_fatal(launcher):
    done = launcher.run("-np", "2", "--timeline", "trace", "true")
    assert done.returncode == 0
    assert "the timeline is not merged" in done.stderr


def test_a_long_temporary_path_does_not_make_sockets_impossible(launcher, tmp_path):
    deep = tmp_path / ("d" * 60)
    deep.mkdir()
    (facts,) = facts_of(launcher, 1, env={"TMPDIR": str(deep)})
    assert Path(facts["environ"]["RINGSYNC_RENDEZVOUS"]).parent == Path("/tmp")


def test_a_job_started_by_a_rank_does_not_write_into_the_outer_timeline(launcher):
    outer = dict.fromkeys(("RINGSYNC_TIMELINE", "HOROVOD_TIMELINE"), "/outer")
    for facts in facts_of(launcher, 2, env={"RINGSYNC_JOB_ID": "ab"} | outer):
        assert not outer.keys() & facts["environ"].keys()


def test_a_timeline_that_the_user_chose_by_variable_is_passed_on(launcher):
    (facts,) = facts_of(launcher, 1, env={"RINGSYNC_TIMELINE": "/chosen"})
    assert facts["environ"]["RINGSYNC_TIMELINE"] == "/chosen"


def test_logs_of_an_earlier_run_do_not_pass_for_this_one_s(launcher):
    logs = launcher.directory / "logs"
    for size in (3, 1):
        done = launcher.run("-np", str(size), "--log-dir", "logs", launcher.script("print('here')"))
        assert done.returncode == 0, done.stderr
    found = sorted(path.relative_to(logs).as_posix() for path in logs.rglob("std*"))
    assert found == ["rank.00/stderr", "rank.00/stdout"]
    assert json.loads((logs / "summary.json").read_text())["size"] == 1
