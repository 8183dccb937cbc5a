"""The directories of a job: its private one, the timeline's and the logs'.

Each is made and tried before any rank starts, so that a full training run cannot end in "denied".
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from ringsync.errors import ConfigError
from ringsync.launch.job import Job

# Sockets are made in the job's directory, and a socket's path has at most 107 bytes on Linux.
_LONGEST_ROOT_BYTES = 60


def name_job_directory(job_id: str) -> Path:
    """Choose the private directory of a job, without making it.

    Every guard knows the name too, so whenever the launcher is killed, they remove it.

    Args:
        job_id: Random, so that nobody else can have made the directory.

    Returns:
        A path in the usual place for temporary files, or in /tmp if that is too long for sockets.
    """
    try:
        root = tempfile.gettempdir()
    except FileNotFoundError:  # who makes it says what is wrong with it
        root = "/tmp"
    is_short = len(os.fsencode(root)) <= _LONGEST_ROOT_BYTES
    return Path(root if is_short else "/tmp") / f"ringsync-{job_id}"


def make_job_directory(path: Path) -> None:
    """Make the directory of a job, for its user alone.

    Args:
        path: What `name_job_directory` gave.

    Raises:
        ConfigError: It cannot be made, or is there already.
    """
    try:
        path.mkdir(mode=0o700)
    except OSError as error:
        raise ConfigError(
            f"[ringsyncrun] the job's directory {path} cannot be made: {error.strerror}. Point "
            "TMPDIR to a directory that can be written."
        ) from error


def remove_job_directory(path: Path) -> None:
    """Remove the directory of a job; should the launcher be killed, its guards do."""
    shutil.rmtree(path, ignore_errors=True)


def prepare_timeline(directory: Path | None, option: str = "[ringsyncrun] --timeline") -> None:
    """Make the timeline's directory and clear an earlier run's files out of it.

    Args:
        directory: Value of `--timeline`.
        option: How it was asked for, as messages begin.

    Raises:
        ConfigError: It cannot be made or written.
    """
    if directory is not None:
        _prepare(directory, option)
        _clear((*directory.glob("rank.[0-9]*.json"), directory / "timeline.json"), option)


def prepare_logs(job: Job, option: str = "[ringsyncrun] --log-dir") -> None:
    """Make `--log-dir` with one directory per rank, and clear an earlier run's logs out of it.

    Args:
        job: The job.
        option: How it was asked for, as messages begin.

    Raises:
        ConfigError: A directory cannot be made or written.
    """
    if job.log_dir is None:
        return
    _prepare(job.log_dir, option)
    _clear((*job.log_dir.glob("rank.[0-9]*/std*"), job.log_dir / "summary.json"), option)
    for rank in range(job.size):
        _prepare(cast(Path, job.rank_log_dir(rank)), option)


def _clear(files: Iterable[Path], option: str) -> None:
    for old in files:
        try:
            old.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigError(
                f"{option}: {old} of an earlier run cannot be removed: "
                f"{error.strerror}. Name another directory."
            ) from error


def _prepare(directory: Path, option: str) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise ConfigError(
            f"{option} {directory} is not a directory that can be written: "
            f"{error.strerror}. Name another one."
        ) from error
