"""Builds each rank's environment and starts its guard; the launcher's only door to `os.environ`.

It does not watch what it started: that is supervise.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from ringsync.errors import ConfigError
from ringsync.jobs.request import is_variable_name
from ringsync.launch.guard import Charge
from ringsync.launch.job import Job
from ringsync.launch.link import Link, link_pair
from ringsync.launch.placement import Place, core_count, threads_per_rank
from ringsync.world import VARIABLES

# Numbers of another launcher's job, or of an outer ringsyncrun: read by mistake they would make a
# rank believe it is someone else. Tuning variables of the same families stay.
_FOREIGN_PREFIXES = (
    "HOROVOD_GLOO_",
    "OMPI_COMM_WORLD_",
    "OMPI_UNIVERSE_",
    "PMI_",
    "PMIX_",
    "SLURM_STEP_",
    "TORCHELASTIC_",
)
_FOREIGN_NAMES = frozenset(
    {
        *VARIABLES,
        "RANK",
        "WORLD_SIZE",
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        "GROUP_RANK",
        "GROUP_WORLD_SIZE",
        "ROLE_RANK",
        "ROLE_WORLD_SIZE",
        "ROLE_NAME",
        "MASTER_ADDR",
        "MASTER_PORT",
        "HOROVOD_RANK",
        "HOROVOD_SIZE",
        "HOROVOD_LOCAL_RANK",
        "HOROVOD_LOCAL_SIZE",
        "HOROVOD_CROSS_RANK",
        "HOROVOD_CROSS_SIZE",
        "HOROVOD_HOSTNAME",
        "HOROVOD_CONTROLLER",
        "MPI_LOCALRANKID",
        "MPI_LOCALNRANKS",
        "SLURM_PROCID",
        "SLURM_LOCALID",
        "SLURM_NODEID",
        "SLURM_STEPID",
        "SLURM_GTIDS",
        "SLURM_TASK_PID",
    }
)
# Unless the user has chosen. Streams that share a queue of a GPU hold each other up, and one may
# wait for a rank that waits for this one; CUDA has 8 by itself, a group takes up to seven streams.
_FOR_DEVICES = {"CUDA_DEVICE_MAX_CONNECTIONS": "32"}
_THREAD_NAMES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# Below 32768, where Linux starts to hand out ports by itself, and above the registered services
# that are in common use; 12000 numbers keep jobs of one host apart well enough, and nobody has to
# open a port to find one.
_FIRST_PORT, _PORTS = 20000, 12000
_HERE = Path(__file__).resolve().parent
_STDERR = 2


def shared_environment(exports: Sequence[str]) -> dict[str, str]:
    """Copy this process's environment without any launcher's numbers, and apply `-x`.

    Args:
        exports: Values of `-x`, each NAME or NAME=VAL.

    Returns:
        What all ranks have in common.

    Raises:
        ConfigError: An export is malformed, not set here, or belongs to the launcher.
    """
    environment = {name: value for name, value in os.environ.items() if not is_foreign(name)}
    if "RINGSYNC_JOB_ID" in os.environ:
        # Started by a rank of another job: its timeline is that job's.
        for name in ("RINGSYNC_TIMELINE", "HOROVOD_TIMELINE"):
            environment.pop(name, None)
    for export in exports:
        name, equals, value = export.partition("=")
        if not is_variable_name(name):  # the message shows no value, which may be a secret
            raise ConfigError(
                f"[ringsyncrun] -x {name!r} is no variable's name; letters, digits and _ are "
                "expected. Write -x NAME to pass a variable on, or -x NAME=VAL to set it."
            )
        if is_foreign(name):
            raise ConfigError(
                f"[ringsyncrun] -x {name}: only a launcher sets that, and ringsyncrun does so for "
                "each rank. Leave it out."
            )
        if not equals and name not in os.environ:
            raise ConfigError(
                f"[ringsyncrun] -x {name}: the variable is not set here. Write -x {name}=VAL, or "
                "export it first."
            )
        environment[name] = value if equals else os.environ[name]
    return environment


def is_foreign(name: str) -> bool:
    """Tell whether only a launcher sets a variable, for each rank its own.

    Args:
        name: Of the variable.

    Returns:
        True for the numbers of ranks, of any launcher.
    """
    return name in _FOREIGN_NAMES or name.startswith(_FOREIGN_PREFIXES)


def share_cores(environment: dict[str, str], size: int) -> str | None:
    """Limit the compute threads of each rank, unless the user has chosen.

    Args:
        environment: The ranks' environment; changed in place.
        size: Ranks on this host.

    Returns:
        A line that says what was chosen, or None if nothing was.
    """
    if any(environment.get(name) for name in _THREAD_NAMES):  # empty is not chosen
        return None
    cores = core_count()
    threads = threads_per_rank(cores, size)
    environment.update(dict.fromkeys(_THREAD_NAMES, str(threads)))
    return (
        f"[ringsyncrun] each rank computes with {_plural(threads, 'thread')} "
        f"({_plural(cores, 'core')} / {_plural(size, 'rank')}); set OMP_NUM_THREADS to choose"
    )


def rank_environment(job: Job, place: Place) -> dict[str, str]:
    """Build the whole environment of one rank: ringsync's names, torchrun's and Horovod's.

    MASTER_PORT is derived from the job id and no socket is opened for it: a port that is free
    now may be taken a moment later anyway. It lies in 20000..31999, below the range from which
    Linux serves outgoing connections, is equal on all ranks, and ringsync never listens on it.

    Args:
        job: The job.
        place: The rank's place.

    Returns:
        A new dictionary.
    """
    port = _FIRST_PORT + int(job.job_id, 16) % _PORTS
    numbers = {
        "RINGSYNC_RANK": place.rank,
        "RINGSYNC_SIZE": place.size,
        "RINGSYNC_LOCAL_RANK": place.local_rank,
        "RINGSYNC_LOCAL_SIZE": place.local_size,
        "RINGSYNC_NODE_RANK": place.node_rank,
        "RINGSYNC_NUM_NODES": place.num_nodes,
        "RANK": place.rank,
        "WORLD_SIZE": place.size,
        "LOCAL_RANK": place.local_rank,
        "LOCAL_WORLD_SIZE": place.local_size,
        "GROUP_RANK": place.node_rank,
        "MASTER_PORT": port,
        "HOROVOD_RANK": place.rank,
        "HOROVOD_SIZE": place.size,
        "HOROVOD_LOCAL_RANK": place.local_rank,
        "HOROVOD_LOCAL_SIZE": place.local_size,
        "HOROVOD_CROSS_RANK": place.node_rank,
        "HOROVOD_CROSS_SIZE": place.num_nodes,
        "PYTHONUNBUFFERED": 1,
    }
    texts = {
        "RINGSYNC_JOB_ID": job.job_id,
        "RINGSYNC_RENDEZVOUS": str(job.rendezvous),
        "MASTER_ADDR": "127.0.0.1",
    }
    if job.timeline is not None:
        texts["RINGSYNC_TIMELINE"] = str(job.timeline)
    search_path = [str(_HERE / "startup"), job.environment.get("PYTHONPATH", "")]
    if job.is_horovod:
        search_path.insert(1, str(_HERE.parent / "compat"))
    texts["PYTHONPATH"] = os.pathsep.join(filter(None, search_path))
    texts |= {name: str(value) for name, value in numbers.items()}
    return _FOR_DEVICES | job.environment | texts


@dataclass(frozen=True, slots=True)
class GuardProcess:
    """A guard that was started. Reap it with `os.waitid` only.

    Attributes:
        pid: Its process id.
        link: Where its reports come from, and orders go to.
        stdout: What its rank writes there, as lines; read end of a non-blocking pipe.
        stderr: Likewise.
    """

    pid: int
    link: Link
    stdout: BinaryIO
    stderr: BinaryIO


def start_guard(job: Job, place: Place, files: int) -> GuardProcess:
    """Start the guard of one rank, in a session of its own; it starts the rank.

    Without the site packages and the user's `PYTHON*` variables a guard starts in a fraction of the
    time, and what is set for the rank's sake cannot change it.

    Args:
        job: The job.
        place: The rank's place.
        files: Soft limit of open files for the rank, or 0 for this process's own.

    Returns:
        The process.

    Raises:
        OSError: The system has no room for another process.
    """
    link, theirs = link_pair()
    held = os.dup(_STDERR)  # its readers see the end of it when no guard lives any more
    log_dir = job.rank_log_dir(place.rank)
    is_lines = job.size > 1
    charge = Charge(
        job.command,
        rank=place.rank,
        output="tagged" if job.is_tagged else "lines" if is_lines else "raw",
        grace_s=job.grace_s,
        logs="" if log_dir is None else str(log_dir),
        link=theirs.fileno(),
        remove=str(job.rendezvous),
        hold=held,
        files=files,
    )
    inherited = job.descriptors[place.rank] if job.descriptors else ()
    with theirs, os.fdopen(held, "wb", buffering=0):
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_HERE / "rank_guard.py"), *charge.words()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=rank_environment(job, place),
            start_new_session=True,
            pass_fds=[theirs.fileno(), held, *inherited],
        )
    process.returncode = 0  # reaped elsewhere; Popen must not wait for it
    stdout, stderr = cast(BinaryIO, process.stdout), cast(BinaryIO, process.stderr)
    for pipe in (stdout, stderr):
        os.set_blocking(pipe.fileno(), False)
    return GuardProcess(process.pid, link, stdout, stderr)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
