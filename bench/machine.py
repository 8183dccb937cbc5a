"""On which machine, and of which commit, a figure was measured; in pytest-benchmark's words.

What cannot be found out is said to be unknown: no figure is lost because git is not there.
"""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import numpy as np

_ROOT = Path(__file__).resolve().parents[1]
_GIT_LIMIT_S = 10  # it takes milliseconds; a slow network file system must not hold up a bench


def machine_info() -> dict[str, object]:
    """Describe this machine and its Python.

    Returns:
        pytest-benchmark's fields, and the versions that matter here.
    """
    build = platform.python_build()
    return {
        "node": platform.node(),
        "processor": platform.processor(),
        "machine": platform.machine(),
        "python_compiler": platform.python_compiler(),
        "python_implementation": platform.python_implementation(),
        "python_implementation_version": platform.python_version(),
        "python_version": platform.python_version(),
        "python_build": list(build),
        "release": platform.release(),
        "system": platform.system(),
        "cpu": {"brand_raw": cpu_name(), "count": os.cpu_count()},
        "usable_cores": len(os.sched_getaffinity(0)),
        "numpy": np.__version__,
        "ringsync": version("ringsync"),
    }


def cpu_name() -> str:
    """Name this machine's processor.

    Returns:
        The kernel's name for it, or "unknown".
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown")


def commit_info() -> dict[str, object]:
    """Name the commit of this checkout.

    Returns:
        pytest-benchmark's fields; `id` is "unversioned" where git knows nothing.
    """
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return {"id": "unversioned", "time": None, "dirty": False, "project": "ringsync"}
    return {
        "id": commit,
        "time": _git("show", "-s", "--format=%cI"),
        "author_time": _git("show", "-s", "--format=%aI"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "project": "ringsync",
        "branch": _git("rev-parse", "--abbrev-ref", "HEAD"),
    }


def _git(*words: str) -> str:
    """What git answers; "" when it cannot."""
    # No lock: to look must not disturb a commit that is being made.
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *words],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=_GIT_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
