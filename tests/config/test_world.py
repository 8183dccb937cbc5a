"""Who a process is: one family of variables after another, the first complete one wins."""

import errno
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync.config import read_world
from ringsync.errors import ConfigError
from ringsync.world import World

# Each family as its launcher sets it, for rank 1 of 4 on one host.
FAMILIES = {
    "RINGSYNC": {
        "RINGSYNC_RANK": "1",
        "RINGSYNC_SIZE": "4",
        "RINGSYNC_LOCAL_RANK": "1",
        "RINGSYNC_LOCAL_SIZE": "4",
        "RINGSYNC_NODE_RANK": "0",
        "RINGSYNC_NUM_NODES": "1",
        "RINGSYNC_RENDEZVOUS": "/tmp/given",
    },
    "RANK/WORLD_SIZE": {
        "RANK": "1",
        "WORLD_SIZE": "4",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "4",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29500",
    },
    "HOROVOD": {
        "HOROVOD_RANK": "1",
        "HOROVOD_SIZE": "4",
        "HOROVOD_LOCAL_RANK": "1",
        "HOROVOD_LOCAL_SIZE": "4",
        "HOROVOD_CROSS_RANK": "0",
        "HOROVOD_CROSS_SIZE": "1",
    },
    "OMPI_COMM_WORLD": {
        "OMPI_COMM_WORLD_RANK": "1",
        "OMPI_COMM_WORLD_SIZE": "4",
        "OMPI_COMM_WORLD_LOCAL_RANK": "1",
        "OMPI_COMM_WORLD_LOCAL_SIZE": "4",
        "OMPI_COMM_WORLD_NODE_RANK": "1",
        "PMIX_NAMESPACE": "job.1",
    },
    "PMI": {"PMI_RANK": "1", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "4"},
    "SLURM": {
        "SLURM_PROCID": "1",
        "SLURM_NTASKS": "4",
        "SLURM_LOCALID": "1",
        "SLURM_NODEID": "0",
        "SLURM_NNODES": "1",
        "SLURM_JOB_ID": "77",
        "SLURM_STEP_ID": "0",
    },
}
RANK_AND_SIZE = {name: list(variables)[:2] for name, variables in FAMILIES.items()}
STEP = {"SLURM": {"SLURM_STEP_ID": "0"}}

every_family = pytest.mark.parametrize("family", FAMILIES)


def pair(family, rank, size):
    return {**dict(zip(RANK_AND_SIZE[family], (rank, size), strict=True)), **STEP.get(family, {})}


def test_a_host_without_room_for_temporary_files_is_told_in_one_sentence(monkeypatch):
    def nowhere():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    with pytest.raises(ConfigError) as caught:
        read_world({"RANK": "0", "WORLD_SIZE": "2"})
    assert str(caught.value) == (
        "[init] temporary files can be written nowhere: No usable temporary directory found in "
        "['/tmp']. Make room, or name a directory in TMPDIR."
    )


def test_without_any_family_the_world_is_this_process():
    assert read_world({}) == World()
    assert read_world({"PATH": "/bin", "LOCAL_RANK": "3", "MASTER_ADDR": "h"}) == World()


@every_family
def test_every_family_is_read_whole(family):
    world = read_world(FAMILIES[family])
    assert (world.rank, world.size, world.local_rank, world.local_size) == (1, 4, 1, 4)
    assert (world.node_rank, world.num_nodes) == (0, 1)
    assert world.family == family
    assert world.directory


@every_family
def test_rank_and_size_are_enough(family):
    world = read_world(pair(family, "2", "3"))
    assert (world.rank, world.size, world.local_rank, world.local_size) == (2, 3, 2, 3)


def test_the_first_complete_family_wins():
    names = list(FAMILIES)
    for first in range(len(names)):
        merged = {}
        for name in reversed(names[first:]):
            merged |= FAMILIES[name]
        assert read_world(merged).family == names[first]


def test_a_complete_family_hides_a_broken_later_one():
    assert read_world(FAMILIES["RINGSYNC"] | {"RANK": "x"}).family == "RINGSYNC"


@every_family
def test_half_a_family_names_the_missing_variable_and_the_given_value(family):
    rank, size = RANK_AND_SIZE[family]
    for given_name, missing in ((rank, size), (size, rank)):
        with pytest.raises(ConfigError, match=rf"{given_name}='3' is set but {missing} is not"):
            read_world({given_name: "3", **STEP.get(family, {})})


@every_family
def test_an_empty_variable_counts_as_unset(family):
    assert read_world(pair(family, "", "")) == World()


@every_family
@pytest.mark.parametrize(("rank", "size"), [("4", "4"), ("5", "4"), ("0", "0"), ("1", "1")])
def test_a_rank_outside_its_world_is_refused_with_both_values(family, rank, size):
    names = RANK_AND_SIZE[family]
    with pytest.raises(ConfigError, match=rf"{names[0]}={rank} and {names[1]}={size} do not fit"):
        read_world(pair(family, rank, size))


@every_family
@pytest.mark.parametrize("size", ["4097", "100000", "9" * 20])
def test_more_ranks_than_a_job_can_have_are_refused(family, size):
    name = RANK_AND_SIZE[family][1]
    with pytest.raises(ConfigError, match=rf"\[config\] {name}={size}; at most 4096 ranks are"):
        read_world(pair(family, "0", size))
    assert read_world(pair(family, "0", "4096")).size == 4096


@every_family
@pytest.mark.parametrize(
    "text", ["-1", "1.0", "one", " 1", "1 ", "0x1", "1_0", "²", "\u0661", "+1"]
)
def test_what_is_no_whole_number_is_named_with_its_value(family, text):
    name = RANK_AND_SIZE[family][0]
    with pytest.raises(ConfigError) as caught:
        read_world(pair(family, text, "4"))
    assert f"[config] {name}={text!r} is not a whole number" in str(caught.value)


@every_family
def test_every_other_variable_is_checked_too(family):
    for name in [n for n in FAMILIES[family] if "LOCAL" in n or "NNODES" in n or "NUM_NODES" in n]:
        with pytest.raises(ConfigError, match=rf"{name}='many'"):
            read_world(FAMILIES[family] | {name: "many"})


@pytest.mark.parametrize("local_rank", ["4", "400"])
def test_a_local_rank_outside_its_host_is_refused(local_rank):
    with pytest.raises(ConfigError, match="LOCAL_RANK"):
        read_world(FAMILIES["RANK/WORLD_SIZE"] | {"LOCAL_RANK": local_rank})


@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("RINGSYNC", {"RINGSYNC_LOCAL_SIZE": "2"}),
        ("RINGSYNC", {"RINGSYNC_NUM_NODES": "2", "RINGSYNC_LOCAL_SIZE": "2"}),
        ("RANK/WORLD_SIZE", {"LOCAL_WORLD_SIZE": "2"}),
        ("HOROVOD", {"HOROVOD_CROSS_SIZE": "2"}),
        ("OMPI_COMM_WORLD", {"OMPI_COMM_WORLD_LOCAL_SIZE": "1"}),
        ("PMI", {"MPI_LOCALNRANKS": "3"}),
        ("SLURM", {"SLURM_NNODES": "2"}),
    ],
)
def test_several_hosts_are_one_clear_error(family, change):
    with pytest.raises(ConfigError, match=r"rank 1 of 4 .* the ranks of one host only"):
        read_world(FAMILIES[family] | change)


def test_slurm_counts_only_inside_a_step():
    outside = {name: v for name, v in FAMILIES["SLURM"].items() if name != "SLURM_STEP_ID"}
    assert read_world(outside) == World()
    assert read_world({"SLURM_NTASKS": "4"}) == World()


@pytest.mark.parametrize("step", ["4294967290", "4294967291"])
def test_the_step_of_a_batch_script_or_an_interactive_shell_is_no_job_of_ranks(step):
    assert read_world(FAMILIES["SLURM"] | {"SLURM_STEP_ID": step}) == World()


def test_pmix_alone_tells_no_size():
    assert read_world({"PMIX_RANK": "1", "PMIX_NAMESPACE": "job.1"}) == World()


def test_half_a_family_is_an_error_although_a_later_one_is_complete():
    for family, (rank, size) in list(RANK_AND_SIZE.items())[:-1]:
        later = list(FAMILIES)[list(FAMILIES).index(family) + 1]
        for given_name, missing in ((rank, size), (size, rank)):
            with pytest.raises(ConfigError, match=rf"{given_name}='3' is set but {missing} is not"):
                read_world(FAMILIES[later] | {given_name: "3"})


def test_a_world_of_one_needs_no_meeting_place():
    for family in FAMILIES:
        assert read_world(pair(family, "0", "1")).directory == ""


def test_the_launcher_s_meeting_place_is_taken_as_given():
    assert read_world(FAMILIES["RINGSYNC"]).directory == "/tmp/given"


def test_the_meeting_place_lies_in_the_temporary_directory_and_names_the_user(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = Path(read_world(FAMILIES["RANK/WORLD_SIZE"]).directory)
    assert place.parent == tmp_path
    assert place.name.startswith(f"ringsync-{os.geteuid()}-")


@every_family
def test_all_ranks_of_a_job_derive_one_place(family):
    ranks = [FAMILIES[family] | pair(family, str(rank), "4") for rank in range(4)]
    for rank, variables in enumerate(ranks):
        variables.update({n: str(rank) for n in variables if "LOCAL" in n and "SIZE" not in n
                          and "NRANKS" not in n})  # fmt: skip
    assert len({read_world(variables).directory for variables in ranks}) == 1


@given(
    ours=st.fixed_dictionaries({}, optional={"MASTER_ADDR": st.sampled_from("ab"),
        "MASTER_PORT": st.sampled_from("12"), "TORCHELASTIC_RUN_ID": st.sampled_from("xy")}),
    theirs=st.fixed_dictionaries({}, optional={"MASTER_ADDR": st.sampled_from("ab"),
        "MASTER_PORT": st.sampled_from("12"), "TORCHELASTIC_RUN_ID": st.sampled_from("xy")}),
)  # fmt: skip
def test_jobs_with_other_keys_have_other_places_and_equal_keys_one(ours, theirs):
    places = [
        read_world({"RANK": "0", "WORLD_SIZE": "2"} | key).directory for key in (ours, theirs)
    ]
    assert (places[0] == places[1]) == (ours == theirs)


def test_families_with_equal_keys_have_places_of_their_own():
    keyless = [read_world(pair(family, "0", "2")).directory for family in FAMILIES]
    assert len(set(keyless)) == len(keyless)


def test_a_family_of_its_own_meets_where_the_address_and_port_say():
    # Whatever the ranks' parents are: only without either is the parent what they have in common.
    def place(port):
        variables = {"RINGSYNC_RANK": "0", "RINGSYNC_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        return read_world(variables | {"MASTER_PORT": port}).directory

    parents = pair("RINGSYNC", "0", "2")
    assert place("1") != place("2")
    assert place("1") != read_world(parents).directory
