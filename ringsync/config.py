"""Settings and the place of this process in the job, read once from the environment.

This is the only module below the launcher that looks at environment variables. It decides nothing
else: it opens no socket and starts no thread.
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ringsync.errors import ConfigError


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
class Settings:
    """Tuning that a user may set.

    Attributes:
        timeout_s: Seconds after which an operation that does not complete is an error; for ever
            unless the user has set them, because a stall is an error anyway.
        stall_warn_s: Seconds without any progress after which those that keep others waiting are
            named, with their stacks.
        stall_abort_s: Seconds without any progress after which that is an error.
        start_timeout_s: Seconds that ranks wait for one another in `init`.
        bucket_mib: Largest bucket of gradients in MiB.
        algorithm: Allreduce algorithm to prefer; "" leaves the choice to the cost model.
        timeline: Directory to record a timeline in; "" for none.
        has_thread_count: The user chose how many threads NumPy's libraries use.
    """

    timeout_s: float = math.inf
    stall_warn_s: float = 30.0
    stall_abort_s: float = 600.0
    start_timeout_s: float = 60.0
    bucket_mib: float = 8.0
    algorithm: str = ""
    timeline: str = ""
    has_thread_count: bool = False


_DEFAULTS = Settings()


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


def read_world(environ: Mapping[str, str] | None = None) -> World:
    """Find out which rank this process is.

    Args:
        environ: Variables to read instead of the process's own.

    Returns:
        The place named by the first complete family of variables; a world of size 1 when there is
        none.

    Raises:
        ConfigError: A family has only one of its rank and size, a value is no number or out of
            range, or the ranks are spread over several hosts.
    """
    variables = os.environ if environ is None else environ
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


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the tuning variables, Horovod's names as aliases.

    Args:
        environ: Variables to read instead of the process's own.

    Returns:
        The settings; defaults where nothing is set.

    Raises:
        ConfigError: A value is no number, or not above zero.
    """
    variables = os.environ if environ is None else environ
    bucket_mib = _number(variables, "RINGSYNC_BUCKET_MIB", 0.0, "MiB as a plain number, like 8")
    if not bucket_mib:
        bucket_mib = _fusion_threshold_mib(variables)
    start_timeout_s = _number(variables, "RINGSYNC_START_TIMEOUT_S", 0.0, "seconds") or _number(
        variables, "HOROVOD_START_TIMEOUT", _DEFAULTS.start_timeout_s, "seconds"
    )
    return Settings(
        timeout_s=_number(variables, "RINGSYNC_TIMEOUT_S", _DEFAULTS.timeout_s, "seconds"),
        stall_warn_s=_limit(
            variables,
            "RINGSYNC_STALL_WARN_S",
            "HOROVOD_STALL_CHECK_TIME_SECONDS",
            _DEFAULTS.stall_warn_s,
        ),
        stall_abort_s=_limit(
            variables,
            "RINGSYNC_STALL_ABORT_S",
            "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS",
            _DEFAULTS.stall_abort_s,
        ),
        start_timeout_s=start_timeout_s,
        bucket_mib=bucket_mib,
        algorithm=variables.get("RINGSYNC_ALGORITHM", ""),
        timeline=variables.get("RINGSYNC_TIMELINE", ""),
        has_thread_count=any(
            variables.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        ),
    )


def _world_of(family: _Family, variables: Mapping[str, str]) -> World:
    rank = _whole(variables, family.rank)
    size = _whole(variables, family.size)
    if size < 1 or not 0 <= rank < size:
        raise ConfigError(
            f"[config] {family.rank}={rank} and {family.size}={size} do not fit together; "
            f"0 <= rank < size is expected. Correct the launcher's environment."
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
    return str(Path(tempfile.gettempdir()) / f"ringsync-{os.geteuid()}-{key}")


def _fusion_threshold_mib(variables: Mapping[str, str]) -> float:
    """Horovod's limit in bytes, where 0 means that each tensor travels alone."""
    if variables.get("HOROVOD_FUSION_THRESHOLD", "") == "0":
        return 2**-20
    threshold_bytes = _number(variables, "HOROVOD_FUSION_THRESHOLD", 0.0, "a number of bytes")
    return threshold_bytes / 2**20 or _DEFAULTS.bucket_mib


def _whole(variables: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = variables.get(name, "") if name else ""
    if not text and default is not None:
        return default
    # str.isdigit alone would let other scripts' digits through.
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"[config] {name}={text!r} is not a whole number. Write digits only.")
    return int(text)


def _limit(variables: Mapping[str, str], name: str, alias: str, default: float) -> float:
    """Seconds under either name; 0 means never."""
    used = name if variables.get(name) else alias
    if variables.get(used, "").strip() in ("0", "0.0"):
        return math.inf
    return _number(variables, used, default, "seconds, or 0 for never")


def _number(variables: Mapping[str, str], name: str, default: float, form: str) -> float:
    text = variables.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise ConfigError(f"[config] {name}={text!r} is not a number above 0. Write {form}.")
    return value
