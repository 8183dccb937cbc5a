"""Real ranks meet whatever launcher told them who they are; whom nobody told is alone."""

import pytest

WORK = """
import ringsync.config
rs.init()
place = (rs.rank(), rs.size(), rs.local_rank(), rs.local_size(), rs.node_rank(), rs.num_nodes())
total = float(rs.allreduce(np.ones(1), op=rs.Sum)[0])
# In one piece, because torchrun's ranks share a pipe.
sys.stdout.write(" ".join(map(str, (*place, total, ringsync.config.read_world().family))) + "\\n")
"""
# Where two tests share the cores torch alone takes a minute to load.
TORCH_S = 90.0
NOTHING = {
    "RANK": "",
    "WORLD_SIZE": "",
    "LOCAL_WORLD_SIZE": "",
    "MASTER_ADDR": "",
    "MASTER_PORT": "",
}

# What each launcher sets for a rank of 2 on one host; {} is the rank.
FAMILIES = {
    "RINGSYNC": {
        "RINGSYNC_RANK": "{}",
        "RINGSYNC_SIZE": "2",
        "RINGSYNC_LOCAL_RANK": "{}",
        "RINGSYNC_LOCAL_SIZE": "2",
        "RINGSYNC_JOB_ID": "ab",
    },
    "RANK/WORLD_SIZE": {
        "RANK": "{}",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "{}",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29511",
        "TORCHELASTIC_RUN_ID": "run",
    },
    "HOROVOD": {
        "HOROVOD_RANK": "{}",
        "HOROVOD_SIZE": "2",
        "HOROVOD_LOCAL_RANK": "{}",
        "HOROVOD_LOCAL_SIZE": "2",
        "HOROVOD_CROSS_RANK": "0",
        "HOROVOD_CROSS_SIZE": "1",
        "HOROVOD_GLOO_RENDEZVOUS_PORT": "1",
    },
    "OMPI_COMM_WORLD": {
        "OMPI_COMM_WORLD_RANK": "{}",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_LOCAL_RANK": "{}",
        "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
        "OMPI_COMM_WORLD_NODE_RANK": "{}",
        "PMIX_RANK": "{}",
        "PMIX_NAMESPACE": "job.1",
    },
    "PMI": {"PMI_RANK": "{}", "PMI_SIZE": "2", "MPI_LOCALRANKID": "{}", "MPI_LOCALNRANKS": "2"},
    "SLURM": {
        "SLURM_PROCID": "{}",
        "SLURM_NTASKS": "2",
        "SLURM_LOCALID": "{}",
        "SLURM_NODEID": "0",
        "SLURM_NNODES": "1",
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_ID": "0",
    },
}


@pytest.mark.parametrize("family", FAMILIES)
def test_ranks_of_every_family_meet(jobs, family):
    job = jobs.start(2, WORK, start=0)
    for rank in range(2):
        variables = {name: value.format(rank) for name, value in FAMILIES[family].items()}
        jobs.add(job, rank, **NOTHING | variables)
    ended = job.end()
    assert [one.said for one in ended] == [
        [f"{rank} 2 {rank} 2 0 1 2.0 {family}"] for rank in range(2)
    ], [one.err for one in ended]
    assert jobs.remains() == []


def test_ranks_that_torchrun_starts_meet_and_leave_nothing(jobs):
    job = jobs.start(2, WORK, start=0)
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    jobs.add(job, 0, by=torchrun, **NOTHING)
    [one] = job.end(TORCH_S)
    assert one.code == 0, one.err
    assert sorted(one.said) == [f"{rank} 2 {rank} 2 0 1 2.0 RANK/WORLD_SIZE" for rank in range(2)]
    assert jobs.members() == set()
    # torchrun itself leaves the directory of its logs.
    assert [one for one in jobs.remains() if not one.startswith("torchelastic_")] == []


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"PMIX_RANK": "1", "PMIX_NAMESPACE": "job.1"},
        {name: value for name, value in FAMILIES["SLURM"].items() if name != "SLURM_STEP_ID"},
        FAMILIES["SLURM"] | {"SLURM_STEP_ID": "4294967291"},
    ],
    ids=["nothing", "pmix without a size", "slurm without a step", "slurm's batch step"],
)
def test_whoever_is_told_nothing_of_a_world_is_alone(jobs, variables):
    job = jobs.start(1, WORK, start=0)
    jobs.add(job, 0, **NOTHING | {name: value.format(1) for name, value in variables.items()})
    [one] = job.end()
    assert one.said == ["0 1 0 1 0 1 1.0 "], one.err
