"""What this ringsync consists of: its version, its native core, the rooms that came with it.

The native core is asked through `runtime`; without it the package cannot be imported at all.
"""

from __future__ import annotations

import platform
from importlib.util import find_spec
from pathlib import Path

from ringsync.errors import ConfigError
from ringsync.info.finding import Finding
from ringsync.info.settings import finding_of, present_settings
from ringsync.runtime import built_names, find_gpus
from ringsync.version import __version__

_CUDA = "CUDA plug-in"

# Rooms of the plan, which some versions have and others have not.
_ROOMS = {
    "ps": "parameter server",
    "elastic": "elastic training",
    "graph": "traced programs",
}


def look_at_build() -> list[Finding]:
    """List what was built.

    Returns:
        One finding for each part.
    """
    names = built_names()
    place = Path(__file__).parents[1]
    return [
        Finding("ringsync", True, f"{__version__}, in {place}"),
        Finding("Python", True, f"{platform.python_version()} on {platform.platform()}"),
        Finding("native core", True, "built and loaded"),
        Finding("kernels", True, f"{_listed(names['kernels'])} (the first one is used)"),
        Finding("transports", True, _listed(names["transports"])),
        Finding("algorithms", True, _listed(names["algorithms"])),
        look_at_cuda(),
        *(_room(room, purpose) for room, purpose in _ROOMS.items()),
    ]


def look_at_cuda() -> Finding:
    """Tell what becomes of arrays on NVIDIA's GPUs.

    Returns:
        The CUDA plug-in, with its devices or with the reason why there are none.
    """
    kind = present_settings().device_plugin
    if kind != "cuda":
        detail = f"left alone, because RINGSYNC_DEVICE_PLUGIN={kind} takes its place"
        return Finding(_CUDA, False, detail, "For NVIDIA's GPUs: unset it.")
    try:
        found = find_gpus()
    except ConfigError as error:
        return finding_of(_CUDA, error)
    if found is None:
        detail = "not built, because there was no nvcc, or none was wanted"
        return Finding(_CUDA, False, detail, "docs/gpu.md says how to build it.")
    count, reason = found
    if count:
        return Finding(_CUDA, True, f"built and loaded, {count} device{'s' * (count > 1)}")
    detail, _, advice = reason.partition(". ")
    return Finding(_CUDA, False, f"built, but {detail}", advice)


def planned(name: str, purpose: str) -> Finding:
    """Say of something that this version does not have it.

    Args:
        name: What it is.
        purpose: What it is for; "" where the name says it.

    Returns:
        The finding.
    """
    detail = "planned, not built in this version"
    advice = "docs/architecture.md says what is."
    return Finding(name, False, f"{purpose}: {detail}" if purpose else detail, advice)


def has_room(name: str) -> bool:
    """Tell whether this version has a room of the plan.

    Args:
        name: Of a module right below the package, for example `torch`.

    Returns:
        True if there is one; it is not imported.
    """
    return find_spec(f"ringsync.{name}") is not None


def _room(name: str, purpose: str) -> Finding:
    if has_room(name):
        return Finding(purpose, True, f"ringsync.{name}")
    return planned(purpose, "")


def _listed(names: list[str]) -> str:
    return ", ".join(names)
