"""`ringsync info` and `ringsyncrun --check-build`: all findings, as lines or as JSON.

It prints nothing itself.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np

from ringsync.info.build import has_room, look_at_build, look_at_cuda, planned
from ringsync.info.finding import Finding, format_findings
from ringsync.info.host import look_at_host
from ringsync.info.packages import (
    look_at_frameworks,
    look_at_gpu,
    look_at_mpi,
    look_at_nccl,
    look_at_python,
)
from ringsync.info.settings import look_at_settings
from ringsync.runtime import built_names
from ringsync.version import __version__


def describe_all(is_json: bool) -> str:
    """Look at everything.

    Args:
        is_json: Answer in JSON.

    Returns:
        The text of `ringsync info`.
    """
    sections = {
        "build": look_at_build(),
        "settings": look_at_settings(),
        "machine": look_at_host(),
        "packages": look_at_python(),
        "frameworks": look_at_frameworks(),
        "mpi": look_at_mpi(),
        "gpu": look_at_gpu(),
    }
    if is_json:
        return _json(sections)
    titles = {
        "build": "Built",
        "settings": "Settings",
        "machine": "This machine",
        "packages": "Packages",
        "frameworks": "Frameworks",
        "mpi": "MPI",
        "gpu": "GPU",
    }
    return "\n\n".join(
        "\n".join(format_findings(titles[name], findings)) for name, findings in sections.items()
    )


def describe_build(is_json: bool) -> str:
    """Look at what `horovodrun --check-build` lists: what ranks of this version can use.

    Args:
        is_json: Answer in JSON.

    Returns:
        The text of `ringsyncrun --check-build`.
    """
    sections = {
        "Available Frameworks": [Finding("NumPy", True, np.__version__), *look_at_frameworks()],
        "Available Controllers": [
            Finding("local", True, "ranks of one host, over a socket of their own"),
            _backend("tcp", "ranks of several hosts"),
            _backend("mpi", "ranks of several hosts, by MPI"),
        ],
        "Available Tensor Operations": [
            *(Finding(name, True, _PURPOSES.get(name, "")) for name in built_names()["transports"]),
            *_device_ways(),
        ],
    }
    refused = [each for each in look_at_settings() if not each.is_found]
    if refused:
        sections = {"Settings": refused, **sections}
    if is_json:
        return _json(sections)
    blocks = [format_findings(title, findings) for title, findings in sections.items()]
    return "\n\n".join([f"ringsync v{__version__}:", *("\n".join(block) for block in blocks)])


_PURPOSES = {
    "shm": "memory that the processes of a host share",
    "inproc": "threads of one process",
}


def _backend(name: str, purpose: str) -> Finding:
    """A backend of the plan: this version has it, among its transports or as a room, or not."""
    if name in built_names()["transports"] or has_room(name):
        return Finding(name, True, purpose)
    return planned(name, purpose)


def _device_ways() -> list[Finding]:
    """By what arrays on GPUs are summed without leaving them."""
    cuda, nccl = look_at_cuda(), look_at_nccl()
    if not cuda.is_found:
        why = f"{cuda.name}: {cuda.detail}"
        return [Finding(name, False, why, cuda.advice) for name in ("cuda", "nccl")]
    return [
        Finding("cuda", True, "memory that the GPUs of a host share"),
        replace(nccl, name="nccl"),
    ]


def _json(sections: dict[str, list[Finding]]) -> str:
    facts = {name: [asdict(each) for each in found] for name, found in sections.items()}
    return json.dumps({"version": __version__, **facts}, indent=1)
