"""Which NCCL a rank takes: the user's choice, or where one may lie on this machine.

It is loaded by the native core, with the first array on a device, or when somebody asks what a
choice comes to. To choose loads nothing but the copy that CuPy would load, where CuPy is at work
already: two in one process crash each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ringsync._native import NcclLibrary
from ringsync.config import Settings
from ringsync.device_arrays import load_cupys_nccl


@dataclass(frozen=True, slots=True)
class Choice:
    """What the engine is told.

    Attributes:
        is_wanted: Whether NCCL is looked for at all.
        library: The file that the user named; "" for none.
        candidates: Files to try without one, before the system's.
    """

    is_wanted: bool
    library: str = ""
    candidates: tuple[str, ...] = ()


def choose_nccl(settings: Settings) -> Choice:
    """Say which NCCL to take.

    Args:
        settings: The user's tuning.

    Returns:
        The choice. On a simulated device, of whose memory NCCL knows nothing, only what was named.
    """
    library = settings.nccl_lib
    if settings.nccl == "off" or (settings.device_plugin != "cuda" and not library):
        return Choice(is_wanted=False)
    if not library:
        load_cupys_nccl()
    return Choice(is_wanted=True, library=library, candidates=() if library else _packaged())


def load_nccl(choice: Choice) -> tuple[str, str]:
    """Load what a rank would, to see what it is; it stays loaded.

    Args:
        choice: What `choose_nccl` gave.

    Returns:
        Its version, like "2.28.9", and its file.

    Raises:
        ConfigError: There is none, or none that serves.
    """
    library = NcclLibrary(choice.library, choice.candidates)
    major, rest = divmod(library.version, 10_000)
    return f"{major}.{rest // 100}.{rest % 100}", library.path


def _packaged() -> tuple[str, ...]:
    """Of the pip package that PyTorch and CuPy come with."""
    try:
        found = find_spec("nvidia.nccl")
    except ModuleNotFoundError:
        return ()
    places = found.submodule_search_locations if found else None
    files = [Path(place) / "lib" / "libnccl.so.2" for place in places or ()]
    return tuple(str(file) for file in files if file.exists())
