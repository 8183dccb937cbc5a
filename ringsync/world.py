"""The place of a process in its job, found in the variables that launchers set.

It is given the variables and looks nowhere else; tuning is `config`'s matter.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ringsync.errors import ConfigError

# The launcher starts no more. Beyond it, at a typing error, the numbers of those that do not come
# would outgrow the packet in which the store tells them.
MOST_RANKS = 4096


@dataclass(frozen=True, slots=True)
class World:
    """The place of this process in its job.

    Attributes:
        rank: Number of this process among all.
        size: Number of processes.
        local_rank: Number among the processes of this host.
        local_size: Processes of this host.
        node_rank: Number of this host.
        num_nodes: Number of hosts.
        family: Which set of environment variables said so; "" when none did.
        directory: Where the ranks of this host meet; "" in a world of size 1.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    node_rank: int = 0
    num_nodes: int = 1
    family: str = ""
    directory: str = ""


@dataclass(frozen=True, slots=True)
class _Family:
    """Variables in which one launcher says who a process is; "" where it has none."""

    name: str
    rank: str
    size: str
    local_rank: str
    local_size: str
    num_nodes: str = ""
    job: tuple[str, ...] = ()
    needs: str = ""
    unless: tuple[str, ...] = ()  # values of `needs` that do not count


# The first complete family wins. `job` names what tells two jobs of one user on one host apart;
# Open MPI 5 and MPICH set no such variable of their own in every version, so the parent process,
# which is the launcher's and common to all ranks of a host, completes the key.
_FAMILIES = (
    _Family(
        "RINGSYNC",
        "RINGSYNC_RANK",
        "RINGSYNC_SIZE",
        "RINGSYNC_LOCAL_RANK",
        "RINGSYNC_LOCAL_SIZE",
        "RINGSYNC_NUM_NODES",
        ("RINGSYNC_JOB_ID", "MASTER_ADDR", "MASTER_PORT"),
    ),
    _Family(
        "RANK/WORLD_SIZE",
        "RANK",
        "WORLD_SIZE",
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        "",
        ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID"),
    ),
    _Family(
        "HOROVOD",
        "HOROVOD_RANK",
        "HOROVOD_SIZE",
        "HOROVOD_LOCAL_RANK",
        "HOROVOD_LOCAL_SIZE",
        "HOROVOD_CROSS_SIZE",
        ("HOROVOD_GLOO_RENDEZVOUS_ADDR", "HOROVOD_GLOO_RENDEZVOUS_PORT"),
    ),
    _Family(
        "OMPI_COMM_WORLD",
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
        "",
        ("PMIX_NAMESPACE",),
    ),
    _Family(
        "PMI",
        "PMI_RANK",
        "PMI_SIZE",
        "MPI_LOCALRANKID",
        "MPI_LOCALNRANKS",
        job=("PMI_PORT",),
    ),
    # Inside sbatch or salloc a plain process also sees SLURM_PROCID; only a step is a job of ranks,
    # and not the step of one process that Slurm makes for the batch script or the interactive shell
    # (SLURM_BATCH_SCRIPT and SLURM_INTERACTIVE_STEP in slurm.h).
    _Family(
        "SLURM",
        "SLURM_PROCID",
        "SLURM_NTASKS",
        "SLURM_LOCALID",
        "",
        "SLURM_NNODES",
        ("SLURM_JOB_ID", "SLURM_STEP_ID"),
        needs="SLURM_STEP_ID",
        unless=("4294967291", "4294967290"),
    ),
)


# All that begin with RINGSYNC_ and say of a rank's place, for whoever looks for misspelt ones.
VARIABLES = (
    "RINGSYNC_RANK",
    "RINGSYNC_SIZE",
    "RINGSYNC_LOCAL_RANK",
    "RINGSYNC_LOCAL_SIZE",
    "RINGSYNC_NODE_RANK",
    "RINGSYNC_NUM_NODES",
    "RINGSYNC_JOB_ID",
    "RINGSYNC_RENDEZVOUS",
)


def find_world(variables: Mapping[str, str]) -> World:
    """Find out which rank a process with these variables is.

    Args:
        variables: The process's environment.

    Returns:
        The place named by the first complete family of variables; a world of size 1 when there is
        none.

    Raises:
        ConfigError: As for `config.read_world`.
    """
    for family in _FAMILIES:
        if family.needs and variables.get(family.needs, "") in {"", *family.unless}:
            continue
        present = [name for name in (family.rank, family.size) if variables.get(name)]
        if len(present) == 1:
            missing = family.size if present[0] == family.rank else family.rank
            raise ConfigError(
                f"[config] {present[0]}={variables[present[0]]!r} is set but {missing} is not. "
                f"Set both, or neither."
            )
        if present:
            return _world_of(family, variables)
    return World()


def _world_of(family: _Family, variables: Mapping[str, str]) -> World:
    rank = _whole(variables, family.rank)
    size = _whole(variables, family.size)
    if size < 1 or not 0 <= rank < size:
        raise ConfigError(
            f"[config] {family.rank}={rank} and {family.size}={size} do not fit together; "
            f"0 <= rank < size is expected. Correct the launcher's environment."
        )
    if size > MOST_RANKS:
        raise ConfigError(
            f"[config] {family.size}={size}; at most {MOST_RANKS} ranks are expected. Correct the "
            "launcher's environment."
        )
    num_nodes = _whole(variables, family.num_nodes, 1)
    # Without a word on it all ranks are taken to be on this host; a missing one is named in time.
    local_size = _whole(variables, family.local_size, size if num_nodes == 1 else 0)
    if num_nodes > 1 or local_size != size:
        raise ConfigError(
            f"[config] rank {rank} of {size} has {local_size} ranks on its host ({family.name} "
            f"variables); this version connects the ranks of one host only. Start all "
            f"{size} ranks on one host."
        )
    local_rank = _whole(variables, family.local_rank, rank)
    if local_rank >= local_size:
        raise ConfigError(
            f"[config] {family.local_rank}={local_rank} is none of {local_size} ranks on this "
            "host. Correct the launcher's environment."
        )
    return World(
        rank=rank,
        size=size,
        local_rank=local_rank,
        local_size=local_size,
        node_rank=0,
        num_nodes=1,
        family=family.name,
        directory=_meeting_place(family, variables) if size > 1 else "",
    )


def _meeting_place(family: _Family, variables: Mapping[str, str]) -> str:
    """A directory of this user alone that all ranks of the job, and no others, derive alike."""
    given = variables.get("RINGSYNC_RENDEZVOUS")
    if given:
        return given
    parts = [family.name, *(variables.get(name, "") for name in family.job)]
    if not any(parts[1:]):
        parts.append(str(os.getppid()))
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    try:
        root = tempfile.gettempdir()
    except FileNotFoundError as error:
        raise ConfigError(
            f"[init] temporary files can be written nowhere: {error.strerror}. Make room, or name "
            "a directory in TMPDIR."
        ) from None
    return str(Path(root) / f"ringsync-{os.geteuid()}-{key}")


def _whole(variables: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = variables.get(name, "") if name else ""
    if not text and default is not None:
        return default
    # str.isdigit alone would let other scripts' digits through.
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"[config] {name}={text!r} is not a whole number. Write digits only.")
    return int(text)
